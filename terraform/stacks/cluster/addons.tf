locals {
  tolerate_system = [merge(
    { for field, value in local.system_taint : field => value },
    { operator = "Equal", effect = "NoSchedule" },
  )]
}

# These run on every node, so they must be installed before the first one.
resource "aws_eks_addon" "network" {
  for_each = {
    vpc-cni = {
      version = var.addon_versions.vpc_cni
      role    = module.vpc_cni_role.arn
      configuration = jsonencode({
        # Without this, network policies are accepted but not enforced.
        enableNetworkPolicy = "true"
        # Network interfaces that it adds to a node. The launch template tags only the first one.
        env = { ADDITIONAL_ENI_TAGS = jsonencode(local.tags) }
      })
    }
    kube-proxy = {
      version       = var.addon_versions.kube_proxy
      role          = null
      configuration = null
    }
  }

  cluster_name                = module.cluster.name
  addon_name                  = each.key
  addon_version               = each.value.version
  service_account_role_arn    = each.value.role
  configuration_values        = each.value.configuration
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"
}

# These are Deployments, which become active only once nodes exist.
resource "aws_eks_addon" "workload" {
  for_each = {
    coredns = {
      version = var.addon_versions.coredns
      role    = null
      configuration = jsonencode({
        nodeSelector = local.system_label
        tolerations  = local.tolerate_system
      })
    }
    aws-ebs-csi-driver = {
      version = var.addon_versions.ebs_csi
      role    = module.ebs_csi_role.arn
      configuration = jsonencode({
        controller = {
          nodeSelector    = local.system_label
          tolerations     = local.tolerate_system
          extraVolumeTags = local.tags
        }
      })
    }
  }

  cluster_name                = module.cluster.name
  addon_name                  = each.key
  addon_version               = each.value.version
  service_account_role_arn    = each.value.role
  configuration_values        = each.value.configuration
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  depends_on = [module.node_group]
}
