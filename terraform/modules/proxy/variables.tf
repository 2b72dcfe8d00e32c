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
  description = "Key of the secrets and of the log."
  type        = string
}

variable "logins" {
  description = "Secrets (username, password) that clients may log in with, by what they are for."
  type        = map(string)

  validation {
    condition     = length(var.logins) > 0
    error_message = "logins: a proxy needs at least one."
  }
}

variable "log_retention_days" {
  description = "How long the log is kept."
  type        = number
}
