# All security groups of the region. They refer to each other, and defining them here lets the stacks `cluster`
# and `database` run in parallel. Groups without an egress rule have none, because Terraform removes AWS's
# default rule that allows everything.

resource "aws_security_group" "this" {
  for_each = {
    cluster   = "Kubernetes control plane"
    node      = "Kubernetes nodes and pods"
    migration = "Nodes whose pods may migrate the database, in addition to the group of all nodes"
    proxy     = "Database proxy"
    database  = "Database"
    endpoints = "Interface endpoints of AWS services"
  }

  name        = "${var.name}-${each.key}"
  description = each.value
  vpc_id      = var.vpc_id

  tags = merge(
    { Name = "${var.name}-${each.key}" },
    # By this tag the load balancer controller finds the one group that it opens to its load balancers.
    each.key == "node" ? { "kubernetes.io/cluster/${var.cluster_name}" = "owned" } : {},
  )
}

locals {
  id = { for key, group in aws_security_group.this : key => group.id }

  # Connections within the VPC. Each becomes an egress rule of the client and an ingress rule of the server.
  flows = {
    node-to-api          = { from = "node", to = "cluster", port = 443, description = "Kubernetes API" }
    api-to-kubelet       = { from = "cluster", to = "node", port = 10250, description = "kubelet; webhook of External Secrets; metrics-server" }
    api-to-lb-webhook    = { from = "cluster", to = "node", port = 9443, description = "webhook of the load balancer controller" }
    api-to-service-proxy = { from = "cluster", to = "node", port = 8080, description = "readiness of the API and of Argo CD through the service proxy" }
    node-to-proxy        = { from = "node", to = "proxy", port = 5432, description = "application to database proxy" }
    migration-to-db      = { from = "migration", to = "database", port = 5432, description = "schema migration, which must not share pooled sessions" }
    proxy-to-database    = { from = "proxy", to = "database", port = 5432, description = "database proxy to database" }
    node-to-endpoints    = { from = "node", to = "endpoints", port = 443, description = "AWS services inside the VPC" }
  }
}

resource "aws_vpc_security_group_egress_rule" "flow" {
  for_each = local.flows

  security_group_id            = local.id[each.value.from]
  referenced_security_group_id = local.id[each.value.to]
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  description                  = each.value.description

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_vpc_security_group_ingress_rule" "flow" {
  for_each = local.flows

  security_group_id            = local.id[each.value.to]
  referenced_security_group_id = local.id[each.value.from]
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  description                  = each.value.description

  tags = { Name = "${var.name}-${each.key}" }
}
