output "arn" {
  description = "ARN of the secret, with its suffix."
  value       = aws_secretsmanager_secret.this.arn
}

output "recovery_window_in_days" {
  description = "How long the secret can be brought back after its deletion."
  value       = aws_secretsmanager_secret.this.recovery_window_in_days
}
