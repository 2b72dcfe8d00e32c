output "arn" {
  description = "ARN of the key."
  value       = aws_kms_key.this.arn
}

output "deletion_window_in_days" {
  description = "How long the key can be brought back after its deletion."
  value       = aws_kms_key.this.deletion_window_in_days
}
