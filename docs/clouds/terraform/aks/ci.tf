# Who deploys: an identity that the pipeline of one repository, for one environment, may take. No key anywhere.
locals {
  namespace = "${var.name}-${var.environment}"
  ci = {
    github = {
      issuer  = "https://token.actions.githubusercontent.com"
      subject = "repo:${var.ci_repository}:environment:${var.environment}"
    }
    gitlab = {
      issuer  = "https://gitlab.com"
      subject = "project_path:${var.ci_repository}:ref_type:branch:ref:main"
    }
  }[var.ci_service]
}

resource "azurerm_user_assigned_identity" "deploy" {
  name                = "${local.namespace}-deploy"
  resource_group_name = azurerm_resource_group.models.name
  location            = azurerm_resource_group.models.location
}

resource "azurerm_federated_identity_credential" "ci" {
  name                = var.ci_service
  resource_group_name = azurerm_resource_group.models.name
  parent_id           = azurerm_user_assigned_identity.deploy.id
  audience            = ["api://AzureADTokenExchange"]
  issuer              = local.ci.issuer
  subject             = local.ci.subject
}

# What it may: push to this registry, fetch the kubeconfig, and write in one namespace.
resource "azurerm_role_assignment" "push" {
  scope                = azurerm_container_registry.models.id
  role_definition_name = "AcrPush"
  principal_id         = azurerm_user_assigned_identity.deploy.principal_id
}

resource "azurerm_role_assignment" "kubeconfig" {
  scope                = azurerm_kubernetes_cluster.models.id
  role_definition_name = "Azure Kubernetes Service Cluster User Role"
  principal_id         = azurerm_user_assigned_identity.deploy.principal_id
}

resource "azurerm_role_assignment" "namespace" {
  scope                = "${azurerm_kubernetes_cluster.models.id}/namespaces/${local.namespace}"
  role_definition_name = "Azure Kubernetes Service RBAC Writer"
  principal_id         = azurerm_user_assigned_identity.deploy.principal_id
}
