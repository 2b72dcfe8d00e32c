variable "path" {
  description = "Path of the secret's name, as PROFILE/REGION."
  type        = string
}

variable "name" {
  description = "Last part of the secret's name; a suffix makes it unique, so that one pending deletion does not block the next."
  type        = string
}

variable "description" {
  description = "What the secret is for."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that encrypts the secret."
  type        = string
}

variable "recovery_window_in_days" {
  description = "How long a deleted secret can still be brought back; 0 deletes at once."
  type        = number

  validation {
    condition     = var.recovery_window_in_days == 0 || (var.recovery_window_in_days >= 7 && var.recovery_window_in_days <= 30)
    error_message = "recovery_window_in_days: Secrets Manager takes 0 or 7 to 30."
  }
}
