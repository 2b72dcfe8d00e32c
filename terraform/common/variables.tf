# The variables that every stack takes. paydeploy passes the first group in a file it writes; the second
# is the region's own file. Every stack declares all of them, so that one file serves them all without a
# warning, and so that a wrong value is refused by whichever stack runs first.

variable "project" {
  description = "Name of the system; first part of the name of everything in it."
  type        = string
  nullable    = false

  validation {
    # 26 characters leave room for the suffixes in a bucket's 63: -tfstate-ACCOUNT-REGION
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.project)) && length(var.project) <= 26
    error_message = "project: use lower-case letters, digits and single hyphens, starting with a letter, 26 characters at most."
  }
}

variable "profile" {
  description = "staging: all of it can be destroyed in one go. production: deletion protection, final snapshots and recovery windows hold."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["staging", "production"], var.profile)
    error_message = "profile: use \"staging\" or \"production\"."
  }
}

variable "region_name" {
  description = "Our own name of the region, such as spain; second part of the name of everything in it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.region_name)) && length(var.region_name) <= 16
    error_message = "region_name: use lower-case letters, digits and single hyphens, starting with a letter, 16 characters at most."
  }
}

variable "aws_region" {
  description = "The AWS region, such as eu-south-2."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.aws_region))
    error_message = "aws_region: give the code of an AWS region, such as eu-south-2."
  }
}

variable "role" {
  description = "hub: Argo CD runs here and deploys to every region. spoke: it is deployed to."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["hub", "spoke"], var.role)
    error_message = "role: use \"hub\" or \"spoke\"."
  }
}

variable "domain" {
  description = "Host name under which the API answers in this region."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain)) && length(var.domain) <= 64
    error_message = "domain: give a host name in lower case, 64 characters at most (the limit of a certificate's common name)."
  }
  validation {
    condition     = endswith(var.domain, ".${var.hosted_zone_name}")
    error_message = "domain: ${var.domain} is not below the hosted zone ${var.hosted_zone_name}."
  }
}

variable "state_bucket" {
  description = "Bucket that holds the state of this region's stacks; the account's id is part of its name."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.state_bucket))
    error_message = "state_bucket: give the name of an S3 bucket."
  }
}

variable "lifted_protections" {
  description = "Protections of the production profile to do without, by name, before things are destroyed: database (its deletion protection), final-snapshot, secrets (their recovery window), registry, audit-log (what is in them)."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(setsubtract(var.lifted_protections, ["database", "final-snapshot", "secrets", "registry", "audit-log"])) == 0
    error_message = "lifted_protections: use database, final-snapshot, secrets, registry or audit-log."
  }
}
