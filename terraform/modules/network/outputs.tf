output "vpc_id" {
  description = "ID of the VPC."
  value       = aws_vpc.this.id
}

output "vpc_cidr" {
  description = "Address range of the VPC."
  value       = aws_vpc.this.cidr_block
}

output "private_subnet_ids" {
  description = "IDs of the subnets for nodes and pods, in the order of the zones."
  value       = [for zone in var.zones : aws_subnet.private[zone].id]
}

output "public_subnet_ids" {
  description = "IDs of the subnets for load balancers and NAT gateways, in the order of the zones."
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
  description = "Public addresses of the region's nodes on the internet, in the order of the zones."
  value       = [for zone in local.nat_zones : aws_eip.nat[zone].public_ip]
}
