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

variable "region" {
  description = "The AWS region, such as eu-central-1."
  type        = string
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "Such as eu-central-1."
  }
}


variable "private_subnet_ids" {
  description = "Two private subnets or more, in different zones, with a way to ECR (NAT or VPC endpoints)."
  type        = list(string)
  validation {
    condition     = length(var.private_subnet_ids) >= 2
    error_message = "Two at least: they lie in different zones."
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
  description = "Who may reach the API server from outside the VPC, such as your CI's addresses; none closes it."
  type        = list(string)
  default     = []
  validation {
    condition     = !contains(var.api_cidrs, "0.0.0.0/0") && alltrue([for each in var.api_cidrs : can(cidrhost(each, 0))])
    error_message = "Address ranges such as 192.0.2.0/24, and not the whole Internet."
  }
}

variable "instance_type" {
  description = "The nodes' type."
  type        = string
  default     = "m7i.large"
}

variable "node_count" {
  description = "How many nodes there are at first; at most twice as many."
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

variable "create_oidc_provider" {
  description = "An account has one provider for each issuer: false where it is there already."
  type        = bool
  default     = true
}
