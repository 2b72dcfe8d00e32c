locals {
  # Between nodes: DNS and the ports that pods listen on. The range includes the kubelet and node ports. Network
  # policies restrict the traffic between pods.
  between_nodes = {
    dns-tcp = { protocol = "tcp", from = 53, to = 53, description = "DNS between pods" }
    dns-udp = { protocol = "udp", from = 53, to = 53, description = "DNS between pods" }
    pods    = { protocol = "tcp", from = 1025, to = 65535, description = "pod to pod on unprivileged ports" }
  }
}

resource "aws_vpc_security_group_ingress_rule" "between_nodes" {
  for_each = local.between_nodes

  security_group_id            = local.id.node
  referenced_security_group_id = local.id.node
  ip_protocol                  = each.value.protocol
  from_port                    = each.value.from
  to_port                      = each.value.to
  description                  = each.value.description

  tags = { Name = "${var.name}-between-nodes-${each.key}" }
}

resource "aws_vpc_security_group_egress_rule" "between_nodes" {
  for_each = local.between_nodes

  security_group_id            = local.id.node
  referenced_security_group_id = local.id.node
  ip_protocol                  = each.value.protocol
  from_port                    = each.value.from
  to_port                      = each.value.to
  description                  = each.value.description

  tags = { Name = "${var.name}-between-nodes-${each.key}" }
}

# To registries, Git, AWS services without an endpoint and, on the hub, the API servers of other regions.
resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = local.id.node
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  description       = "HTTPS over NAT"

  tags = { Name = "${var.name}-https" }
}

# To a Git server in the team's own network that does not listen on 443. Only the hub has one, for Argo CD.
resource "aws_vpc_security_group_egress_rule" "git" {
  count = var.git_server == null ? 0 : 1

  security_group_id = local.id.node
  cidr_ipv4         = "${var.git_server.address}/32"
  ip_protocol       = "tcp"
  from_port         = var.git_server.port
  to_port           = var.git_server.port
  description       = "Git server of the application"

  tags = { Name = "${var.name}-git" }
}
