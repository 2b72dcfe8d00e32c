output "arn" {
  description = "ARN of the trail."
  value       = aws_cloudtrail.this.arn
}

output "bucket" {
  description = "Bucket of the trail."
  value       = aws_s3_bucket.this.id
}

output "multi_region" {
  description = "Whether the trail also records the account's other regions."
  value       = aws_cloudtrail.this.is_multi_region_trail
}

output "global_service_events" {
  description = "Whether the trail records the global services."
  value       = aws_cloudtrail.this.include_global_service_events
}

output "force_destroy" {
  description = "Whether the bucket may be deleted while it contains the trail."
  value       = aws_s3_bucket.this.force_destroy
}

output "retention_days" {
  description = "Number of days that the trail is kept."
  value       = one(aws_s3_bucket_lifecycle_configuration.this.rule[*].expiration[0].days)
}
