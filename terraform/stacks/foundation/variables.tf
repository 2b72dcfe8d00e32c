variable "kept_key_id" {
  description = "ID of the region's key, if an earlier deployment left it: it is imported instead of created. paydeploy finds it by its alias."
  type        = string
  default     = null
}
