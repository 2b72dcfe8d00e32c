# Subnets have the expected addresses in networks of every allowed size.

mock_provider "aws" {}

variables {
  name               = "payments-spain"
  cluster_name       = "payments-spain"
  cidr               = "10.10.0.0/16"
  zones              = ["eu-south-2a", "eu-south-2b", "eu-south-2c"]
  single_nat_gateway = true
}

run "subnets_of_the_largest_network" {
  command = plan

  assert {
    condition     = [for subnet in values(aws_subnet.private) : subnet.cidr_block] == ["10.10.1.0/24", "10.10.2.0/24", "10.10.3.0/24"]
    error_message = "private subnets are 1 to 3"
  }
  assert {
    condition     = [for subnet in values(aws_subnet.public) : subnet.cidr_block] == ["10.10.11.0/24", "10.10.12.0/24", "10.10.13.0/24"]
    error_message = "public subnets are 11 to 13"
  }
  assert {
    condition     = [for subnet in values(aws_subnet.database) : subnet.cidr_block] == ["10.10.21.0/24", "10.10.22.0/24", "10.10.23.0/24"]
    error_message = "database subnets are 21 to 23"
  }
  assert {
    condition     = alltrue([for subnet in values(aws_subnet.public) : !subnet.map_public_ip_on_launch])
    error_message = "instances get no public address by default"
  }
}

run "subnets_of_the_smallest_network" {
  command = plan

  variables {
    cidr = "10.20.32.0/19"
  }

  assert {
    condition     = aws_subnet.database["eu-south-2c"].cidr_block == "10.20.55.0/24"
    error_message = "the last subnet is inside the /19"
  }
}

run "every_private_subnet_has_a_route_to_the_internet" {
  command = plan

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.nat) == 3
    error_message = "one NAT gateway serves all three zones"
  }
}

run "dns_and_subnet_tags" {
  command = plan

  assert {
    condition     = aws_vpc.this.enable_dns_support && aws_vpc.this.enable_dns_hostnames
    error_message = "the VPC resolves the names of AWS endpoints and the Kubernetes API"
  }
  assert {
    condition     = alltrue([for subnet in values(aws_subnet.public) : subnet.tags["kubernetes.io/role/elb"] == "1" && subnet.tags["kubernetes.io/cluster/payments-spain"] == "shared"])
    error_message = "public load balancers find their subnets by these tags"
  }
  assert {
    condition     = alltrue([for subnet in values(aws_subnet.private) : subnet.tags["kubernetes.io/role/internal-elb"] == "1" && subnet.tags["kubernetes.io/cluster/payments-spain"] == "shared"])
    error_message = "internal load balancers find their subnets by these tags"
  }
}

# Applied, because IDs are known only then.
run "no_zone_depends_on_another" {
  command = apply

  variables {
    single_nat_gateway = false
  }

  assert {
    condition     = [for zone in var.zones : aws_route.nat[zone].nat_gateway_id] == [for zone in var.zones : aws_nat_gateway.this[zone].id] && length(aws_nat_gateway.this) == 3
    error_message = "each zone uses its own NAT gateway"
  }
  assert {
    condition     = [for zone in var.zones : aws_nat_gateway.this[zone].subnet_id] == [for zone in var.zones : aws_subnet.public[zone].id]
    error_message = "each NAT gateway is in its zone's public subnet"
  }
  assert {
    condition     = toset([for association in values(aws_route_table_association.database) : association.route_table_id]) == toset([aws_route_table.database.id]) && !contains(concat([for route in values(aws_route.nat) : route.route_table_id], [aws_route.internet.route_table_id]), aws_route_table.database.id)
    error_message = "the database's subnets have no route to the internet"
  }
  assert {
    condition     = aws_db_subnet_group.this.subnet_ids == toset([for subnet in values(aws_subnet.database) : subnet.id])
    error_message = "the database is in its own subnets"
  }
}
