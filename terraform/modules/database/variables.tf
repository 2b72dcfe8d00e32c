variable "name" {
  description = "Identifier of the instance."
  type        = string
}

variable "partition" {
  description = "AWS partition, such as aws."
  type        = string
}

variable "account_id" {
  description = "Account of the instance."
  type        = string
}

variable "aws_region" {
  description = "Region of the instance."
  type        = string
}

variable "engine_version" {
  description = "Major version of PostgreSQL."
  type        = string
}

variable "instance_class" {
  description = "RDS instance class."
  type        = string
}

variable "storage_gib" {
  description = "Initial storage, and the limit up to which it grows automatically, in GiB."
  type        = object({ initial = number, max = number })
}

variable "ca_certificate" {
  description = "Certificate authority of the instance's certificate, or null for the account's default."
  type        = string
}

variable "database" {
  description = "Name of the database that is created with the instance."
  type        = string
}

variable "master_username" {
  description = "Name of the master user. Only migrations use it, to create the other roles."
  type        = string
}

variable "subnet_group_name" {
  description = "Subnet group of the instance."
  type        = string
}

variable "security_group_id" {
  description = "Security group of the instance."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that encrypts storage, backups, master secret, Performance Insights and logs."
  type        = string
}

variable "backup_retention_days" {
  description = "Number of days for which the database can be restored to any point in time."
  type        = number
}

variable "log_retention_days" {
  description = "Number of days that the logs are kept."
  type        = number
}

variable "deletion_protection" {
  description = "Whether RDS rejects the deletion of the instance."
  type        = bool
}

variable "final_snapshot" {
  description = "Whether a final snapshot and the automated backups outlive the instance."
  type        = bool
}

variable "apply_immediately" {
  description = "Whether changes are applied immediately instead of in the maintenance window."
  type        = bool
}
