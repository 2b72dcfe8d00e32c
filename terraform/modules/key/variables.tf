variable "name" {
  description = "Alias of the key, without alias/."
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
  description = "Number of days during which a deleted key can be restored."
  type        = number

  validation {
    condition     = var.deletion_window_in_days >= 7 && var.deletion_window_in_days <= 30
    error_message = "deletion_window_in_days: use 7 to 30."
  }
}

variable "log_groups" {
  description = "Names of the CloudWatch log groups that are encrypted with the key."
  type        = list(string)
}

variable "trail_name" {
  description = "Name of the CloudTrail trail that is encrypted with the key."
  type        = string
}
