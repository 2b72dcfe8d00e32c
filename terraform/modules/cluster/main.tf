# Created here because EKS would create it without the key and keep it permanently.
resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/eks/${var.name}/cluster"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_eks_cluster" "this" {
  name     = var.name
  version  = var.kubernetes_version
  role_arn = aws_iam_role.this.arn

  enabled_cluster_log_types = ["api", "audit", "authenticator", "controllerManager", "scheduler"]

  # Without this, EKS moves a cluster to extended support at the end of its version's standard support, at six times
  # the price, instead of upgrading it: https://docs.aws.amazon.com/eks/latest/userguide/view-support-policy.html
  upgrade_policy {
    support_type = var.support_type
  }

  # Only managed add-ons are installed.
  bootstrap_self_managed_addons = false

  access_config {
    # Access is granted by access entries only, not for having created the cluster.
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = false
  }

  encryption_config {
    resources = ["secrets"]

    provider {
      key_arn = var.kms_key_arn
    }
  }

  kubernetes_network_config {
    service_ipv4_cidr = "172.20.0.0/16"
  }

  vpc_config {
    subnet_ids              = var.subnet_ids
    security_group_ids      = [var.security_group_id]
    endpoint_private_access = true
    endpoint_public_access  = true
    public_access_cidrs     = var.public_access_cidrs
  }

  depends_on = [
    aws_iam_role_policy_attachment.this,
    aws_iam_role_policy.key,
    aws_cloudwatch_log_group.this,
  ]

  lifecycle {
    # EKS takes both only when it creates a cluster and reports neither. Without this, adopting a cluster that an
    # interrupted run created would replace it.
    ignore_changes = [
      bootstrap_self_managed_addons,
      access_config[0].bootstrap_cluster_creator_admin_permissions,
    ]
  }
}

# EKS creates this group, which the nodes and the control plane share, and tags it with nothing of ours.
resource "aws_ec2_tag" "cluster_security_group" {
  for_each = var.tags

  resource_id = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
  key         = each.key
  value       = each.value
}

resource "aws_iam_openid_connect_provider" "this" {
  url            = aws_eks_cluster.this.identity[0].oidc[0].issuer
  client_id_list = ["sts.amazonaws.com"]
}
