variable "name" {
  description = "The project's name as modelyard.yaml has it: small letters, digits and hyphens."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$", var.name))
    error_message = "Small letters, digits and hyphens, at most 32."
  }
}

variable "environment" {
  description = "The environment of deploy.environments in modelyard.yaml."
  type        = string
  default     = "production"
  validation {
    condition     = can(regex("^[a-z0-9-]{1,20}$", var.environment))
    error_message = "Small letters, digits and hyphens, at most 20."
  }
}

variable "subscription_id" {
  description = "The Azure subscription."
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.subscription_id))
    error_message = "It is a UUID."
  }
}

variable "location" {
  description = "The Azure region, such as germanywestcentral."
  type        = string
}

variable "registry" {
  description = "The registry's name, which no other in Azure may have: letters and digits."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9]{5,50}$", var.registry))
    error_message = "5 to 50 small letters and digits."
  }
}

variable "kubernetes_version" {
  description = "The version of Kubernetes; the chart wants 1.25 at least."
  type        = string
  default     = "1.34"
  validation {
    condition     = can(regex("^1\\.(2[5-9]|[3-9][0-9])$", var.kubernetes_version))
    error_message = "Such as 1.34, and 1.25 at least."
  }
}

variable "api_cidrs" {
  description = "Who may reach the API server, such as your CI's addresses."
  type        = list(string)
  validation {
    condition     = length(var.api_cidrs) > 0 && !contains(var.api_cidrs, "0.0.0.0/0")
    error_message = "One address range at least, and not the whole Internet."
  }
}

variable "admin_group_ids" {
  description = "The Entra groups that administer the cluster: it has no local account."
  type        = list(string)
  validation {
    condition     = length(var.admin_group_ids) > 0
    error_message = "One at least, or nobody can."
  }
}

variable "vm_size" {
  description = "The nodes' size."
  type        = string
  default     = "Standard_D2s_v5"
}

variable "node_count" {
  description = "How many nodes there are."
  type        = number
  default     = 2
  validation {
    condition     = var.node_count >= 2
    error_message = "Two at least, or a drained node takes the endpoint with it."
  }
}

variable "ci_service" {
  description = "Which service runs the pipeline and vouches for it: github or gitlab."
  type        = string
  default     = "github"
  validation {
    condition     = contains(["github", "gitlab"], var.ci_service)
    error_message = "It is github or gitlab."
  }
}

variable "ci_repository" {
  description = "The repository whose pipeline may deploy, as OWNER/REPOSITORY."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+$", var.ci_repository))
    error_message = "It is OWNER/REPOSITORY, without an asterisk."
  }
}
