variable "name" {
  description = "Name of the VPC. The name of the log group contains it."
  type        = string
}

variable "partition" {
  description = "AWS partition, such as aws."
  type        = string
}

variable "account_id" {
  description = "Account of the VPC."
  type        = string
}

variable "aws_region" {
  description = "Region of the VPC."
  type        = string
}

variable "vpc_id" {
  description = "VPC whose traffic is recorded."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that encrypts the log."
  type        = string
}

variable "log_retention_days" {
  description = "Number of days that the log is kept."
  type        = number
}
