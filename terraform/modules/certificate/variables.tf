variable "domain" {
  description = "Host name of the certificate."
  type        = string
}

variable "hosted_zone_id" {
  description = "Hosted zone of the domain."
  type        = string
}
