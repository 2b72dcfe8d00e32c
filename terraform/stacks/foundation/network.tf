data "aws_availability_zones" "this" {
  # Excludes local zones and the zones that EKS does not support, by id, because names differ between accounts:
  # https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html. Impaired zones remain in the list,
  # because otherwise an outage would make the plan replace their subnets.
  exclude_zone_ids = ["use1-az3", "usw1-az2", "cac1-az3"]

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
  filter {
    name   = "zone-type"
    values = ["availability-zone"]
  }

  lifecycle {
    postcondition {
      condition     = length(self.names) >= local.zone_count
      error_message = "${var.aws_region} has ${length(self.names)} availability zones that EKS supports; ${local.zone_count} are required."
    }
  }
}

locals {
  zone_count         = 3
  single_nat_gateway = coalesce(var.single_nat_gateway, !local.production)
}

module "network" {
  source = "../../modules/network"

  name               = local.name
  cluster_name       = local.name
  cidr               = var.vpc_cidr
  zones              = slice(sort(data.aws_availability_zones.this.names), 0, local.zone_count)
  single_nat_gateway = local.single_nat_gateway
}

module "security_groups" {
  source = "../../modules/security-groups"

  name         = local.name
  cluster_name = local.name
  vpc_id       = module.network.vpc_id
  git_server   = var.role == "hub" ? var.git_server : null
}

module "endpoints" {
  source = "../../modules/endpoints"

  name              = local.name
  aws_region        = var.aws_region
  vpc_id            = module.network.vpc_id
  route_table_ids   = module.network.private_route_table_ids
  services          = var.interface_endpoints
  subnet_ids        = module.network.private_subnet_ids
  security_group_id = module.security_groups.endpoints_id
}
