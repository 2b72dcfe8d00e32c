output "account_id" {
  description = "ID of the account."
  value       = local.account_id
}

output "vpc_id" {
  description = "ID of the VPC."
  value       = module.network.vpc_id
}

output "vpc_cidr" {
  description = "Address range of the VPC."
  value       = module.network.vpc_cidr
}

output "private_subnet_ids" {
  description = "IDs of the subnets for nodes and pods."
  value       = module.network.private_subnet_ids
}

output "public_subnet_ids" {
  description = "IDs of the subnets for load balancers."
  value       = module.network.public_subnet_ids
}

output "database_subnet_group_name" {
  description = "Name of the subnet group for the database and its proxy."
  value       = module.network.database_subnet_group_name
}

output "nat_public_ips" {
  description = "Public addresses of the region's nodes on the internet."
  value       = module.network.nat_public_ips
}

output "cluster_security_group_id" {
  description = "ID of the security group of the Kubernetes control plane."
  value       = module.security_groups.cluster_id
}

output "node_security_group_id" {
  description = "ID of the security group of the nodes."
  value       = module.security_groups.node_id
}

output "migration_security_group_id" {
  description = "ID of the security group of the nodes that may connect to the database itself."
  value       = module.security_groups.migration_id
}

output "database_security_group_id" {
  description = "ID of the security group of the database."
  value       = module.security_groups.database_id
}

output "proxy_security_group_id" {
  description = "ID of the security group of the database proxy."
  value       = module.security_groups.proxy_id
}

output "kms_key_arn" {
  description = "ARN of the key that encrypts all data at rest in the region."
  value       = module.key.arn
}

output "ecr_repository_name" {
  description = "Name of the image repository."
  value       = module.registry.name
}

output "ecr_repository_url" {
  description = "URL of the image repository, without a tag."
  value       = module.registry.url
}

output "api_secret_arn" {
  description = "ARN of the API key's secret. It is empty until `paydeploy` writes a value."
  value       = module.secret["api"].arn
}

output "db_app_secret_arn" {
  description = "ARN of the secret with the application's database login. It is empty until `paydeploy` writes a value."
  value       = module.secret["db-app"].arn
}

output "db_migrator_secret_arn" {
  description = "ARN of the secret with the migrations' database login. It is empty until `paydeploy` writes a value."
  value       = module.secret["db-migrator"].arn
}

output "certificate_arn" {
  description = "ARN of the requested certificate. It may not be issued yet."
  value       = module.certificate.arn
}

output "hosted_zone_id" {
  description = "ID of the domain's hosted zone."
  value       = data.aws_route53_zone.this.zone_id
}

output "hosted_zone_name" {
  description = "Name of the hosted zone, without the final dot."
  value       = var.hosted_zone_name
}

output "app_domain" {
  description = "Host name of the API in this region."
  value       = var.domain
}
