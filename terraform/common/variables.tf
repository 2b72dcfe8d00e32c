# Variables of every stack. paydeploy writes those of this file into a variable file; those of region.tf are in
# the region's own file. Every stack declares all of them, so that Terraform accepts both files without warnings
# and the first stack to run rejects a wrong value.

variable "project" {
  description = "Name of the system. The name of every resource starts with it."
  type        = string
  nullable    = false

  validation {
    # A bucket's name has at most 63 characters. 26 leave room for its suffix, -tfstate-ACCOUNT-REGION.
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.project)) && length(var.project) <= 26
    error_message = "project: use lowercase letters, digits and single hyphens, starting with a letter; at most 26 characters."
  }
}

variable "profile" {
  description = "staging: everything can be deleted in one pass. production: deletion protection, final snapshots and recovery windows apply. May be changed on a deployed system."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["staging", "production"], var.profile)
    error_message = "profile: use \"staging\" or \"production\"."
  }
}

variable "region_name" {
  description = "Our own name of the region, such as spain. Second part of the name of every resource."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.region_name)) && length(var.region_name) <= 16
    error_message = "region_name: use lowercase letters, digits and single hyphens, starting with a letter; at most 16 characters."
  }
}

variable "aws_region" {
  description = "AWS region, such as eu-south-2."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.aws_region))
    error_message = "aws_region: use the code of an AWS region, such as eu-south-2."
  }
}

variable "role" {
  description = "hub: Argo CD runs here and deploys to every region. spoke: the hub deploys to this region."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["hub", "spoke"], var.role)
    error_message = "role: use \"hub\" or \"spoke\"."
  }
}

variable "domain" {
  description = "Host name of the API in this region."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain)) && length(var.domain) <= 64
    error_message = "domain: use a host name in lowercase with at most 64 characters (the limit of a certificate's common name)."
  }
  validation {
    condition     = endswith(var.domain, ".${var.hosted_zone_name}")
    error_message = "domain: ${var.domain} is not in the hosted zone ${var.hosted_zone_name}."
  }
}

variable "state_bucket" {
  description = "Bucket for the state of this region's stacks. Its name contains the account id."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.state_bucket))
    error_message = "state_bucket: use the name of an S3 bucket."
  }
}

variable "git_server" {
  description = "Private address and port of the Git server that Argo CD reads from; null if the server listens on 443."
  type        = object({ address = string, port = number })
  default     = null

  validation {
    condition     = var.git_server == null || can(cidrnetmask("${var.git_server.address}/32"))
    error_message = "git_server: use an IPv4 address and a port, such as { address = \"192.168.7.5\", port = 22 }."
  }
}

variable "lifted_protections" {
  description = "Protections of the production profile to turn off before resources are deleted: database (deletion protection), final-snapshot, secrets (recovery window), registry and audit-log (their content)."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(setsubtract(var.lifted_protections, ["database", "final-snapshot", "secrets", "registry", "audit-log"])) == 0
    error_message = "lifted_protections: use database, final-snapshot, secrets, registry or audit-log."
  }
}
