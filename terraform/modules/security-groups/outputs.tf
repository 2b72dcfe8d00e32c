output "cluster_id" {
  description = "Group of the control plane's network interfaces."
  value       = local.id.cluster
}

output "node_id" {
  description = "Group of the nodes."
  value       = local.id.node
}

output "proxy_id" {
  description = "Group of the database proxy."
  value       = local.id.proxy
}

output "database_id" {
  description = "Group of the database."
  value       = local.id.database
}

output "endpoints_id" {
  description = "Group of the interface endpoints."
  value       = local.id.endpoints
}
