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

variable "vpc_id" {
  description = "The VPC."
  type        = string
  validation {
    condition     = startswith(var.vpc_id, "vpc-")
    error_message = "It begins with vpc-."
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

variable "public_subnet_ids" {
  description = "The load balancer's subnets, in the zones of the private ones; those too, where internal."
  type        = list(string)
  validation {
    condition     = length(var.public_subnet_ids) >= 2
    error_message = "Two at least: the load balancer wants two zones."
  }
}

variable "internal" {
  description = "Whether the load balancer is reached from the VPC only."
  type        = bool
  default     = true
}

variable "allowed_cidrs" {
  description = "Who may ask the endpoint."
  type        = list(string)
  validation {
    condition     = alltrue([for each in var.allowed_cidrs : can(cidrhost(each, 0))])
    error_message = "Each is an address range such as 10.0.0.0/16."
  }
}

variable "certificate_arn" {
  description = "The certificate of the endpoint's name, in the Certificate Manager."
  type        = string
  validation {
    condition     = startswith(var.certificate_arn, "arn:aws:acm:")
    error_message = "It begins with arn:aws:acm:."
  }
}

variable "log_days" {
  description = "How long the server's log is kept."
  type        = number
  default     = 365
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
