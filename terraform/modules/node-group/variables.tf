variable "name" {
  description = "Name of the group."
  type        = string
}

variable "cluster_name" {
  description = "Cluster that the nodes join."
  type        = string
}

variable "kubernetes_version" {
  description = "Minor version of the nodes."
  type        = string
}

variable "role_arn" {
  description = "IAM role of the nodes."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the nodes, one a zone."
  type        = list(string)
}

variable "security_group_id" {
  description = "Security group of the nodes and of their pods."
  type        = string
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
  description = "Number of nodes at least, at most and at first."
  type        = object({ min = number, max = number, desired = number })
}

variable "disk_gib" {
  description = "Size of a node's volume."
  type        = number
}

variable "labels" {
  description = "Kubernetes labels of the nodes."
  type        = map(string)
}

variable "taints" {
  description = "Kubernetes taints of the nodes; effects in EKS's spelling, such as NO_SCHEDULE."
  type        = list(object({ key = string, value = string, effect = string }))
  default     = []
}

variable "tags" {
  description = "Tags of instances, volumes and network interfaces."
  type        = map(string)
}
