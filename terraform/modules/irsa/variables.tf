variable "name" {
  description = "Name of the role."
  type        = string
}

variable "description" {
  description = "What the role is for."
  type        = string
}

variable "oidc_issuer" {
  description = "URL of the cluster's token issuer."
  type        = string
}

variable "oidc_provider_arn" {
  description = "IAM's side of the issuer."
  type        = string
}

variable "service_accounts" {
  description = "Service accounts whose pods get the role, and no others."
  type        = list(object({ namespace = string, name = string }))

  validation {
    condition     = length(var.service_accounts) > 0 && alltrue([for account in var.service_accounts : !strcontains("${account.namespace}${account.name}", "*")])
    error_message = "service_accounts: name each one; the role's trust takes no wildcards."
  }
}

variable "policies" {
  description = "Policies of the role's own, as JSON, by name."
  type        = map(string)
  default     = {}
}

variable "managed_policy_arns" {
  description = "Policies managed by AWS that the role has."
  type        = set(string)
  default     = []
}
