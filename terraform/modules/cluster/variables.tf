variable "name" {
  description = "Name of the cluster."
  type        = string
}

variable "partition" {
  description = "AWS partition, such as aws."
  type        = string
}

variable "account_id" {
  description = "Account of the cluster."
  type        = string
}

variable "aws_region" {
  description = "Region of the cluster."
  type        = string
}

variable "kubernetes_version" {
  description = "Kubernetes minor version, such as 1.35."
  type        = string
}

variable "support_type" {
  description = "What EKS does at the end of the version's standard support: STANDARD upgrades the cluster, EXTENDED keeps the version and charges for it."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the control plane's network interfaces."
  type        = list(string)
}

variable "security_group_id" {
  description = "Security group of the control plane's network interfaces."
  type        = string
}

variable "public_access_cidrs" {
  description = "Address ranges outside the VPC that may reach the API."
  type        = list(string)

  validation {
    # EKS treats an empty list as 0.0.0.0/0.
    condition     = length(var.public_access_cidrs) > 0
    error_message = "public_access_cidrs: use at least one block."
  }
}

variable "administrators" {
  description = "ARNs of the IAM users and roles that administer the cluster."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "Key that encrypts Kubernetes Secrets and the log."
  type        = string
}

variable "log_retention_days" {
  description = "Number of days that the control plane's log is kept."
  type        = number
}

variable "tags" {
  description = "Tags for the security group that EKS creates."
  type        = map(string)
}
