variable "domain" {
  description = "Host name of the certificate."
  type        = string
}

variable "hosted_zone_id" {
  description = "Zone that the domain is in."
  type        = string
}
