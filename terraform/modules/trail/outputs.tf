output "arn" {
  description = "ARN of the trail."
  value       = aws_cloudtrail.this.arn
}

output "bucket" {
  description = "Bucket of the trail."
  value       = aws_s3_bucket.this.id
}

output "force_destroy" {
  description = "Whether the bucket may be deleted while it contains the trail."
  value       = aws_s3_bucket.this.force_destroy
}

output "retention_days" {
  description = "Number of days that the trail is kept."
  value       = one(aws_s3_bucket_lifecycle_configuration.this.rule[*].expiration[0].days)
}
