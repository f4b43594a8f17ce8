output "cluster" {
  description = "gcloud container clusters get-credentials THIS; kubectl config rename-context … gke."
  value       = google_container_cluster.models.name
}

output "repository" {
  description = "deploy.environments.ENV.repository"
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.models.repository_id}/${var.name}"
}

output "namespace" {
  description = "deploy.environments.ENV.namespace: the only one in which the pipeline may change anything."
  value       = local.namespace
}

output "address" {
  description = "The endpoint's internal address: deploy.environments.ENV.url is a name of it."
  value       = google_compute_address.endpoint.address
}

output "deploy_account" {
  description = "The service account that the pipeline takes."
  value       = google_service_account.deploy.email
}

output "identity_provider" {
  description = "The workload identity provider that the pipeline logs in with."
  value       = google_iam_workload_identity_pool_provider.ci.name
}
