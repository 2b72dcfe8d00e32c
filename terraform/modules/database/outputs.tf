output "id" {
  description = "Identifier of the instance."
  value       = aws_db_instance.this.identifier
}

output "host" {
  description = "Host name of the instance, not of its proxy."
  value       = aws_db_instance.this.address
}

output "port" {
  description = "Port of the instance."
  value       = aws_db_instance.this.port
}

output "database" {
  description = "Name of the database."
  value       = aws_db_instance.this.db_name
}

output "master_secret_arn" {
  description = "ARN of the master user's secret, which RDS creates and rotates."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}

output "protected" {
  description = "Whether the instance has deletion protection, and whether its data outlives it."
  value = {
    instance = aws_db_instance.this.deletion_protection
    data     = !aws_db_instance.this.skip_final_snapshot && !aws_db_instance.this.delete_automated_backups
  }
}
