# Only the necessary connections are allowed.

mock_provider "aws" {}

variables {
  name         = "payments-spain"
  cluster_name = "payments-spain"
  vpc_id       = "vpc-0"
}

run "only_necessary_connections_are_allowed" {
  command = apply

  assert {
    condition     = alltrue([for rule in concat(values(aws_vpc_security_group_ingress_rule.flow), values(aws_vpc_security_group_ingress_rule.between_nodes)) : rule.cidr_ipv4 == null && rule.referenced_security_group_id != null])
    error_message = "ingress rules name security groups, not addresses"
  }
  assert {
    condition     = alltrue([for rule in concat(values(aws_vpc_security_group_egress_rule.flow), values(aws_vpc_security_group_egress_rule.between_nodes), [aws_vpc_security_group_egress_rule.https]) : rule.ip_protocol != "-1"])
    error_message = "no rule allows every protocol"
  }
  assert {
    condition     = toset([for rule in values(aws_vpc_security_group_ingress_rule.flow) : rule.from_port if contains([output.database_id, output.proxy_id], rule.security_group_id)]) == toset([5432])
    error_message = "the database and its proxy listen on 5432 only"
  }
  assert {
    condition     = toset([for rule in values(aws_vpc_security_group_ingress_rule.flow) : rule.referenced_security_group_id if rule.security_group_id == output.database_id]) == toset([output.proxy_id, output.migration_id])
    error_message = "only the proxy and migrations reach the database: application pods cannot bypass the proxy"
  }
  assert {
    condition     = length([for rule in values(aws_vpc_security_group_ingress_rule.flow) : rule if rule.security_group_id == output.migration_id]) == 0
    error_message = "nothing connects to the group of migrations"
  }
  assert {
    condition     = length(aws_vpc_security_group_egress_rule.git) == 0
    error_message = "without a Git server of their own, nodes reach port 443 only"
  }
  assert {
    condition     = length([for rule in values(aws_vpc_security_group_egress_rule.flow) : rule if rule.security_group_id == output.database_id]) == 0
    error_message = "the database opens no connections"
  }
}

run "a_private_git_server_is_reachable_at_its_address_and_port_only" {
  command = apply

  variables {
    git_server = { address = "192.168.7.5", port = 22 }
  }

  assert {
    condition     = [for rule in aws_vpc_security_group_egress_rule.git : "${rule.cidr_ipv4} ${rule.ip_protocol} ${rule.from_port}-${rule.to_port}" if rule.security_group_id == output.node_id] == ["192.168.7.5/32 tcp 22-22"]
    error_message = "the rule allows this server and port"
  }
}
