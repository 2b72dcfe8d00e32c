variable "name" {
  description = "Prefix of the groups' names."
  type        = string
}

variable "cluster_name" {
  description = "EKS cluster that the nodes belong to."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the groups."
  type        = string
}
