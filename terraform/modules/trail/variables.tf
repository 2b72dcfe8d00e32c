variable "name" {
  description = "Name of the trail; beginning of its bucket's, which has the account's id at the end."
  type        = string
}

variable "partition" {
  description = "AWS partition, such as aws."
  type        = string
}

variable "account_id" {
  description = "Account that the trail records."
  type        = string
}

variable "aws_region" {
  description = "Home region of the trail."
  type        = string
}

variable "multi_region" {
  description = "Whether it records the account's other regions too."
  type        = bool
}

variable "watched_bucket_arns" {
  description = "Buckets whose objects' reads and writes are recorded, by what they hold."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "Key that encrypts bucket and log group."
  type        = string
}

variable "retention_days" {
  description = "How long the bucket keeps the trail."
  type        = number
}

variable "log_retention_days" {
  description = "How long the log group keeps it, for searching."
  type        = number
}

variable "force_destroy" {
  description = "Whether the bucket may be destroyed with the trail in it."
  type        = bool
}
