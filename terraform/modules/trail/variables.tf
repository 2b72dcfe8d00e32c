variable "name" {
  description = "Name of the trail and prefix of its bucket's name, which ends with the account id."
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
  description = "Whether the trail also records the account's other regions and the global services. Copies their events into this region's bucket."
  type        = bool
}

variable "watched_bucket_arns" {
  description = "ARNs of buckets whose objects' reads and writes are recorded, by their content."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "Key that encrypts the bucket and the log group."
  type        = string
}

variable "retention_days" {
  description = "Number of days that the bucket keeps the trail."
  type        = number
}

variable "log_retention_days" {
  description = "Number of days that the log group keeps the trail for searching."
  type        = number
}

variable "force_destroy" {
  description = "Whether the bucket may be deleted while it contains the trail."
  type        = bool
}
