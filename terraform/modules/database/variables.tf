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
  description = "Storage at first, and up to which it grows by itself."
  type        = object({ initial = number, max = number })
}

variable "ca_certificate" {
  description = "Certificate authority of the instance's certificate, or null for the account's default."
  type        = string
}

variable "database" {
  description = "Database that is made with the instance."
  type        = string
}

variable "master_username" {
  description = "Owner of everything; only migrations use it, to make the roles that the application logs in with."
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
  description = "How far back the database can be restored to a point in time."
  type        = number
}

variable "log_retention_days" {
  description = "How long the logs are kept."
  type        = number
}

variable "deletion_protection" {
  description = "Whether RDS refuses to delete the instance."
  type        = bool
}

variable "final_snapshot" {
  description = "Whether a last snapshot and the automated backups outlive the instance."
  type        = bool
}

variable "apply_immediately" {
  description = "Whether changes are made at once instead of in the maintenance window."
  type        = bool
}
