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

variable "project" {
  description = "The Google Cloud project's id."
  type        = string
  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.project))
    error_message = "6 to 30 small letters, digits and hyphens."
  }
}

variable "region" {
  description = "The region, such as europe-west3."
  type        = string
}

variable "network" {
  description = "The VPC network's name."
  type        = string
}

variable "subnetwork" {
  description = "The subnet's name. An internal load balancer wants a proxy-only subnet in the region, too."
  type        = string
}

variable "api_cidrs" {
  description = "Who may reach the API server, such as your CI's addresses."
  type        = list(string)
  validation {
    condition     = length(var.api_cidrs) > 0 && !contains(var.api_cidrs, "0.0.0.0/0")
    error_message = "One address range at least, and not the whole Internet."
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
