output "arn" {
  description = "ARN of the key."
  value       = aws_kms_key.this.arn
}

output "deletion_window_in_days" {
  description = "Number of days during which the deleted key can be restored."
  value       = aws_kms_key.this.deletion_window_in_days
}
