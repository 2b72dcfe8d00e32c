variable "path" {
  description = "Path in front of the secret's name, as PROJECT/REGION. Takes effect only when the secret is created."
  type        = string
}

variable "name" {
  description = "Last part of the secret's name. A random suffix follows it, because a deleted secret blocks its name during its recovery window."
  type        = string
}

variable "description" {
  description = "Purpose of the secret."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that encrypts the secret."
  type        = string
}

variable "recovery_window_in_days" {
  description = "Number of days during which a deleted secret can be restored; 0 deletes it immediately."
  type        = number

  validation {
    condition     = var.recovery_window_in_days == 0 || (var.recovery_window_in_days >= 7 && var.recovery_window_in_days <= 30)
    error_message = "recovery_window_in_days: use 0, or 7 to 30."
  }
}
