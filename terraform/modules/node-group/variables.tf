variable "name" {
  description = "Name of the node group."
  type        = string
}

variable "cluster_name" {
  description = "Name of the cluster that the nodes join."
  type        = string
}

variable "kubernetes_version" {
  description = "Kubernetes minor version of the nodes."
  type        = string
}

variable "release_version" {
  description = "Release of the nodes' image, such as 1.35.0-20251112."
  type        = string
}

variable "role_arn" {
  description = "IAM role of the nodes."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the nodes, one per zone."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups of the nodes and of their pods. If there are several, one has the cluster's tag, by which the load balancer controller chooses it."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "Key that encrypts the nodes' volumes."
  type        = string
}

variable "instance_types" {
  description = "x86 instance types, in order of preference."
  type        = list(string)
}

variable "size" {
  description = "Minimum, maximum and initial number of nodes."
  type        = object({ min = number, max = number, desired = number })
}

variable "disk_gib" {
  description = "Size of each node's volume, in GiB."
  type        = number
}

variable "labels" {
  description = "Kubernetes labels of the nodes."
  type        = map(string)
}

variable "taints" {
  description = "Kubernetes taints of the nodes, with effects in EKS's spelling, such as NO_SCHEDULE."
  type        = list(object({ key = string, value = string, effect = string }))
  default     = []
}

variable "tags" {
  description = "Tags for instances, volumes and network interfaces."
  type        = map(string)
}
