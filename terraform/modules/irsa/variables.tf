variable "name" {
  description = "Name of the role."
  type        = string
}

variable "description" {
  description = "Purpose of the role."
  type        = string
}

variable "oidc_issuer" {
  description = "URL of the cluster's token issuer."
  type        = string
}

variable "oidc_provider_arn" {
  description = "ARN of the IAM OIDC provider for the issuer."
  type        = string
}

variable "service_accounts" {
  description = "Service accounts whose pods may assume the role."
  type        = list(object({ namespace = string, name = string }))

  validation {
    condition     = length(var.service_accounts) > 0 && alltrue([for account in var.service_accounts : !strcontains("${account.namespace}${account.name}", "*")])
    error_message = "service_accounts: name each service account; wildcards are not allowed."
  }
}

variable "policies" {
  description = "Inline policies of the role as JSON, by name."
  type        = map(string)
  default     = {}
}

variable "managed_policy_arns" {
  description = "ARNs of the AWS managed policies of the role."
  type        = set(string)
  default     = []
}
