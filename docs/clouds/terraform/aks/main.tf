resource "azurerm_resource_group" "models" {
  name     = "${var.name}-${var.environment}"
  location = var.location
}

resource "azurerm_container_registry" "models" {
  name                = var.registry
  resource_group_name = azurerm_resource_group.models.name
  location            = azurerm_resource_group.models.location
  sku                 = "Basic"
  admin_enabled       = false
}

resource "azurerm_kubernetes_cluster" "models" {
  name                              = "${var.name}-${var.environment}"
  resource_group_name               = azurerm_resource_group.models.name
  location                          = azurerm_resource_group.models.location
  dns_prefix                        = "${var.name}-${var.environment}"
  kubernetes_version                = var.kubernetes_version
  sku_tier                          = "Standard"
  automatic_upgrade_channel         = "patch"
  azure_policy_enabled              = true
  local_account_disabled            = true
  role_based_access_control_enabled = true
  oidc_issuer_enabled               = true
  workload_identity_enabled         = true

  azure_active_directory_role_based_access_control {
    azure_rbac_enabled     = true
    admin_group_object_ids = var.admin_group_ids
  }

  api_server_access_profile {
    authorized_ip_ranges = var.api_cidrs
  }

  default_node_pool {
    name                    = "general"
    vm_size                 = var.vm_size
    node_count              = var.node_count
    max_pods                = 60
    host_encryption_enabled = true
    upgrade_settings {
      max_surge = "33%"
    }
  }

  identity {
    type = "SystemAssigned"
  }

  # Cilium enforces the chart's NetworkPolicy.
  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay"
    network_data_plane  = "cilium"
    network_policy      = "cilium"
  }

  # The ingress class webapprouting.kubernetes.azure.com of values-aks.yaml.
  web_app_routing {
    dns_zone_ids = []
  }
}

resource "azurerm_role_assignment" "nodes_pull" {
  scope                = azurerm_container_registry.models.id
  role_definition_name = "AcrPull"
  principal_id         = azurerm_kubernetes_cluster.models.kubelet_identity[0].object_id
}
