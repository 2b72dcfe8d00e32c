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

variable "git_server" {
  description = "Private address and port of the Git server that Argo CD reads from; null if it listens on 443."
  type        = object({ address = string, port = number })
  default     = null
}
