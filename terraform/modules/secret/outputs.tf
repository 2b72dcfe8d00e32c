output "arn" {
  description = "ARN of the secret, with its suffix."
  value       = aws_secretsmanager_secret.this.arn
}
