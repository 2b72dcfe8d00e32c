output "cluster_id" {
  description = "Security group of the control plane's network interfaces."
  value       = local.id.cluster
}

output "node_id" {
  description = "Security group of the nodes."
  value       = local.id.node
}

output "migration_id" {
  description = "Security group of the nodes that may connect to the database itself."
  value       = local.id.migration
}

output "proxy_id" {
  description = "Security group of the database proxy."
  value       = local.id.proxy
}

output "database_id" {
  description = "Security group of the database."
  value       = local.id.database
}

output "endpoints_id" {
  description = "Security group of the interface endpoints."
  value       = local.id.endpoints
}
