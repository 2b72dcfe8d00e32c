variable "name" {
  description = "Name of the VPC and prefix of the names in it."
  type        = string
}

variable "cluster_name" {
  description = "EKS cluster whose load balancers find the subnets by tag."
  type        = string
}

variable "cidr" {
  description = "Address range of the VPC, between /16 and /19."
  type        = string
}

variable "zones" {
  description = "Names of the availability zones, each of which gets a public, a private and a database subnet."
  type        = list(string)

  validation {
    condition     = length(var.zones) >= 2 && length(var.zones) <= 8
    error_message = "zones: use two to eight zones."
  }
}

variable "single_nat_gateway" {
  description = "Whether all zones share one NAT gateway instead of having one each."
  type        = bool
}
