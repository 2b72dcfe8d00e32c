data "aws_iam_policy_document" "node_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "node" {
  name               = "${local.name}-node"
  description        = "Nodes of the cluster ${local.name}"
  assume_role_policy = data.aws_iam_policy_document.node_trust.json
}

# Permissions to join the cluster and pull images. The network plugin has its own role.
resource "aws_iam_role_policy_attachment" "node" {
  for_each = toset(["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"])

  role       = aws_iam_role.node.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/${each.key}"
}

# AWS publishes patched images under the same Kubernetes version. A managed node group keeps its image until it is told
# the release of another one, so that without this only a new Kubernetes version would bring patches. A newer release
# replaces the nodes of each group one at a time, as `paydeploy plan` announces; regions and groups are replaced side by side.
# In production a release of the application must not replace nodes, so groups keep their image and the check below
# reports a newer one.
data "aws_ssm_parameter" "node_release" {
  name = "/aws/service/eks/optimized-ami/${var.kubernetes_version}/amazon-linux-2023/x86_64/standard/recommended/release_version"
}

locals {
  # A public parameter holds no secret.
  recommended_node_release = nonsensitive(data.aws_ssm_parameter.node_release.insecure_value)

  # A release belongs to one Kubernetes version, so an upgrade of Kubernetes changes it in any case.
  node_releases = {
    for group in keys(local.node_groups) : group => coalesce(
      var.node_release_version,
      try(startswith(var.running_node_releases[group], "${var.kubernetes_version}.") ? var.running_node_releases[group] : null, null),
      local.recommended_node_release,
    )
  }
  # A release is VERSION-DATE.
  older_node_releases = distinct([
    for release in values(local.node_releases) : release
    if try(tonumber(split("-", release)[1]) < tonumber(split("-", local.recommended_node_release)[1]), false)
  ])

  # Only add-ons, migrations and, on the hub, Argo CD run on the system nodes.
  system_label = { role = "system" }
  system_taint = { key = "dedicated", value = "system" }

  node_groups = {
    # Migrations run here as well: pods have their node's security groups, and only these nodes reach the database
    # itself. The application's pods have to use the proxy.
    system = {
      nodes           = var.system_nodes
      labels          = local.system_label
      taints          = [merge(local.system_taint, { effect = "NO_SCHEDULE" })]
      security_groups = [local.foundation.node_security_group_id, local.foundation.migration_security_group_id]
    }
    application = {
      nodes           = var.application_nodes
      labels          = { role = "application" }
      taints          = []
      security_groups = [local.foundation.node_security_group_id]
    }
  }
}

module "node_group" {
  source = "../../modules/node-group"

  for_each = local.node_groups

  name               = each.key
  cluster_name       = module.cluster.name
  kubernetes_version = var.kubernetes_version
  release_version    = local.node_releases[each.key]
  role_arn           = aws_iam_role.node.arn
  subnet_ids         = local.foundation.private_subnet_ids
  security_group_ids = each.value.security_groups
  kms_key_arn        = local.foundation.kms_key_arn
  instance_types     = each.value.nodes.instance_types
  size               = { min = each.value.nodes.min, max = each.value.nodes.max, desired = each.value.nodes.desired }
  disk_gib           = each.value.nodes.disk_gib
  labels             = each.value.labels
  taints             = each.value.taints
  tags               = local.tags

  # A node needs the network plugin to become ready. If the plugin is deleted first, the node leaves its network
  # interfaces behind.
  depends_on = [aws_iam_role_policy_attachment.node, aws_eks_addon.network]
}

# paydeploy reports it as a warning with its fix.
check "node_release" {
  assert {
    condition = length(local.older_node_releases) == 0
    error_message = join(" fix: ", [
      "AWS recommends node image ${local.recommended_node_release} in region `${var.region_name}`, which has ${join(", ", local.older_node_releases)}",
      "set `node_release_version = \"${local.recommended_node_release}\"` in the region's file; EKS then replaces the nodes of each group one at a time",
    ])
  }
}
