output "arn" {
  description = "ARN of the trail."
  value       = aws_cloudtrail.this.arn
}

output "bucket" {
  description = "Bucket of the trail."
  value       = aws_s3_bucket.this.id
}

output "force_destroy" {
  description = "Whether the bucket is deleted with the record in it."
  value       = aws_s3_bucket.this.force_destroy
}

output "retention_days" {
  description = "How long the record is kept."
  value       = one(aws_s3_bucket_lifecycle_configuration.this.rule[*].expiration[0].days)
}
