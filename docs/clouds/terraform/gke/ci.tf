# Who deploys: a service account that the pipeline of one repository, for one environment, may take. No key anywhere.
locals {
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

resource "google_iam_workload_identity_pool" "ci" {
  workload_identity_pool_id = "${substr(var.name, 0, 20)}-ci"
}

resource "google_iam_workload_identity_pool_provider" "ci" {
  workload_identity_pool_id          = google_iam_workload_identity_pool.ci.workload_identity_pool_id
  workload_identity_pool_provider_id = var.ci_service
  attribute_condition                = "assertion.sub == '${local.ci.subject}'"
  attribute_mapping = {
    "google.subject" = "assertion.sub"
  }
  oidc {
    issuer_uri = local.ci.issuer
  }
}

resource "google_service_account" "deploy" {
  account_id   = "${substr(var.name, 0, 20)}-deploy"
  display_name = "Deploys ${local.namespace}"
}

resource "google_service_account_iam_member" "ci_takes_it" {
  service_account_id = google_service_account.deploy.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principal://iam.googleapis.com/${google_iam_workload_identity_pool.ci.name}/subject/${local.ci.subject}"
}

# What it may: push to this registry and find clusters. Its rights inside the cluster are a RoleBinding: see README.md.
resource "google_artifact_registry_repository_iam_member" "push" {
  repository = google_artifact_registry_repository.models.name
  location   = google_artifact_registry_repository.models.location
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.deploy.member
}

resource "google_project_iam_member" "find_the_cluster" {
  project = var.project
  role    = "roles/container.clusterViewer"
  member  = google_service_account.deploy.member
}
