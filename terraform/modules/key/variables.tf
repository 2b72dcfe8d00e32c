variable "name" {
  description = "Name of the region's things; the key's alias."
  type        = string
}

variable "partition" {
  description = "AWS partition, such as aws."
  type        = string
}

variable "account_id" {
  description = "Account that owns the key."
  type        = string
}

variable "aws_region" {
  description = "Region of the key."
  type        = string
}

variable "deletion_window_in_days" {
  description = "How long a deleted key can still be brought back."
  type        = number

  validation {
    condition     = var.deletion_window_in_days >= 7 && var.deletion_window_in_days <= 30
    error_message = "deletion_window_in_days: KMS takes 7 to 30."
  }
}

variable "log_groups" {
  description = "CloudWatch log groups that are encrypted with the key."
  type        = list(string)
}

variable "trail_name" {
  description = "CloudTrail trail that is encrypted with the key."
  type        = string
}
