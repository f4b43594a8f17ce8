locals {
  namespace = "${var.name}-${var.environment}"
}

resource "google_artifact_registry_repository" "models" {
  repository_id = "models"
  location      = var.region
  format        = "DOCKER"
  docker_config {
    immutable_tags = true
  }
}

# Autopilot: you pay for what pods request; its nodes have no public address and workload identity is on.
resource "google_container_cluster" "models" {
  name                = local.namespace
  location            = var.region
  enable_autopilot    = true
  deletion_protection = true
  network             = var.network
  subnetwork          = var.subnetwork

  release_channel {
    channel = "REGULAR"
  }

  ip_allocation_policy {}

  master_auth {
    client_certificate_config {
      issue_client_certificate = false
    }
  }

  private_cluster_config {
    enable_private_nodes = true
  }

  master_authorized_networks_config {
    dynamic "cidr_blocks" {
      for_each = var.api_cidrs
      content {
        cidr_block = cidr_blocks.value
      }
    }
  }

  resource_labels = {
    model       = var.name
    environment = var.environment
  }
}

# The internal address of values-gke.yaml: kubernetes.io/ingress.regional-static-ip-name.
resource "google_compute_address" "endpoint" {
  name         = var.name
  region       = var.region
  subnetwork   = var.subnetwork
  address_type = "INTERNAL"
  purpose      = "SHARED_LOADBALANCER_VIP"
}
