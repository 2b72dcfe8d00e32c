output "trail_arn" {
  description = "ARN of the trail."
  value       = module.trail.arn
}

output "audit_bucket" {
  description = "Bucket of the trail."
  value       = module.trail.bucket
}

output "flow_log_group" {
  description = "Log group of the VPC's flow log."
  value       = module.flow_log.log_group
}
