output "db_instance_id" {
  description = "Identifier of the database instance."
  value       = module.database.id
}

output "db_endpoint" {
  description = "Host name of the instance, for migrations."
  value       = module.database.host
}

output "db_port" {
  description = "Port of the instance and of the proxy."
  value       = module.database.port
}

output "db_name" {
  description = "Name of the database."
  value       = module.database.database
}

output "db_connection_endpoint" {
  description = "Host name of the proxy, for the application."
  value       = module.proxy.host
}

output "proxy_name" {
  description = "Name of the proxy."
  value       = module.proxy.name
}

output "master_secret_arn" {
  description = "ARN of the master user's secret, which RDS creates and rotates."
  value       = module.database.master_secret_arn
}
