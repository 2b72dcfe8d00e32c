output "arn" {
  description = "ARN of the secret, including its suffix."
  value       = aws_secretsmanager_secret.this.arn
}

output "name_prefix" {
  description = "Name of the secret without its suffix."
  value       = aws_secretsmanager_secret.this.name_prefix
}

output "recovery_window_in_days" {
  description = "Number of days during which the deleted secret can be restored."
  value       = aws_secretsmanager_secret.this.recovery_window_in_days
}
