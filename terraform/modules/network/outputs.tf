output "vpc_id" {
  description = "Id of the VPC."
  value       = aws_vpc.this.id
}

output "vpc_cidr" {
  description = "Addresses of the VPC."
  value       = aws_vpc.this.cidr_block
}

output "private_subnet_ids" {
  description = "Subnets of nodes and pods, in the order of the zones."
  value       = [for zone in var.zones : aws_subnet.private[zone].id]
}

output "public_subnet_ids" {
  description = "Subnets of load balancers and NAT gateways, in the order of the zones."
  value       = [for zone in var.zones : aws_subnet.public[zone].id]
}

output "database_subnet_group_name" {
  description = "Subnet group of the database and its proxy."
  value       = aws_db_subnet_group.this.name
}

output "private_route_table_ids" {
  description = "Route tables of the private subnets, in the order of the zones."
  value       = [for zone in var.zones : aws_route_table.private[zone].id]
}

output "nat_public_ips" {
  description = "Addresses that the region's nodes have on the internet, in the order of the zones."
  value       = [for zone in local.nat_zones : aws_eip.nat[zone].public_ip]
}
