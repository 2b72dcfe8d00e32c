variable "name" {
  description = "Prefix of the endpoints' names."
  type        = string
}

variable "aws_region" {
  description = "Region of the services."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the endpoints."
  type        = string
}

variable "route_table_ids" {
  description = "Route tables that get a route to S3."
  type        = list(string)
}

variable "services" {
  description = "Services with an interface endpoint: SERVICE in com.amazonaws.REGION.SERVICE."
  type        = set(string)
}

variable "subnet_ids" {
  description = "Subnets of the interface endpoints, one per zone."
  type        = list(string)
}

variable "security_group_id" {
  description = "Security group of the interface endpoints."
  type        = string
}
