output "cluster" {
  description = "az aks get-credentials --name THIS --context aks; then deploy.environments.ENV.context is aks."
  value       = azurerm_kubernetes_cluster.models.name
}

output "resource_group" {
  description = "az aks get-credentials --resource-group THIS"
  value       = azurerm_resource_group.models.name
}

output "repository" {
  description = "deploy.environments.ENV.repository"
  value       = "${azurerm_container_registry.models.login_server}/${var.name}"
}

output "namespace" {
  description = "deploy.environments.ENV.namespace: the only one in which the pipeline may change anything."
  value       = local.namespace
}

output "deploy_client_id" {
  description = "The client-id that the pipeline logs in with."
  value       = azurerm_user_assigned_identity.deploy.client_id
}
