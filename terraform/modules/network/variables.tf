variable "name" {
  description = "Name of the VPC and beginning of the names in it."
  type        = string
}

variable "cluster_name" {
  description = "EKS cluster whose load balancers find their subnets by tag."
  type        = string
}

variable "cidr" {
  description = "Addresses of the VPC, between /16 and /19."
  type        = string
}

variable "zones" {
  description = "Names of the availability zones, each of which gets a public, a private and a database subnet."
  type        = list(string)

  validation {
    condition     = length(var.zones) >= 2 && length(var.zones) <= 8
    error_message = "zones: two to eight are needed."
  }
}

variable "single_nat_gateway" {
  description = "One NAT gateway for all zones instead of one in each."
  type        = bool
}
