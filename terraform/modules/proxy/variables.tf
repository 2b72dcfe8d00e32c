variable "name" {
  description = "Name of the proxy."
  type        = string
}

variable "aws_region" {
  description = "Region of the proxy."
  type        = string
}

variable "db_instance_id" {
  description = "Instance behind the proxy."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the proxy."
  type        = list(string)
}

variable "security_group_id" {
  description = "Security group of the proxy."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that encrypts the secrets and the log."
  type        = string
}

variable "logins" {
  description = "ARNs of the secrets (username, password) that clients may log in with, by purpose."
  type        = map(string)

  validation {
    condition     = length(var.logins) > 0
    error_message = "logins: use at least one secret."
  }
}

variable "log_retention_days" {
  description = "Number of days that the log is kept."
  type        = number
}
