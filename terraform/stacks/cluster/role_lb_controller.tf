module "lb_controller_role" {
  source = "../../modules/irsa"

  name              = "${local.name}-lb-controller"
  description       = "Creates the load balancers of ${local.name}"
  oidc_issuer       = module.cluster.oidc_issuer
  oidc_provider_arn = module.cluster.oidc_provider_arn
  service_accounts  = [{ namespace = "kube-system", name = "aws-load-balancer-controller" }]

  policies = {
    read            = data.aws_iam_policy_document.lb_controller_read.json
    security-groups = data.aws_iam_policy_document.lb_controller_security_groups.json
    load-balancers  = data.aws_iam_policy_document.lb_controller_load_balancers.json
  }
}

locals {
  # The controller sets this tag on the resources it creates. It has no access to those of other clusters.
  lb_cluster_tag = "elbv2.k8s.aws/cluster"

  ec2_arn = "arn:${local.partition}:ec2:${var.aws_region}:${local.account_id}"
  elb_arn = "arn:${local.partition}:elasticloadbalancing:${var.aws_region}:${local.account_id}"
}

data "aws_iam_policy_document" "lb_controller_read" {
  statement {
    # These actions do not support resource-level permissions.
    actions = [
      "acm:ListCertificates",
      "ec2:DescribeAccountAttributes",
      "ec2:DescribeAddresses",
      "ec2:DescribeAvailabilityZones",
      "ec2:DescribeInstances",
      "ec2:DescribeInternetGateways",
      "ec2:DescribeNetworkInterfaces",
      "ec2:DescribeRouteTables",
      "ec2:DescribeSecurityGroups",
      "ec2:DescribeSubnets",
      "ec2:DescribeTags",
      "ec2:DescribeVpcPeeringConnections",
      "ec2:DescribeVpcs",
      "elasticloadbalancing:DescribeCapacityReservation",
      "elasticloadbalancing:DescribeListenerAttributes",
      "elasticloadbalancing:DescribeListenerCertificates",
      "elasticloadbalancing:DescribeListeners",
      "elasticloadbalancing:DescribeLoadBalancerAttributes",
      "elasticloadbalancing:DescribeLoadBalancers",
      "elasticloadbalancing:DescribeRules",
      "elasticloadbalancing:DescribeSSLPolicies",
      "elasticloadbalancing:DescribeTags",
      "elasticloadbalancing:DescribeTargetGroupAttributes",
      "elasticloadbalancing:DescribeTargetGroups",
      "elasticloadbalancing:DescribeTargetHealth",
      "elasticloadbalancing:DescribeTrustStores",
    ]
    resources = ["*"]
  }

  statement {
    actions   = ["acm:DescribeCertificate"]
    resources = ["arn:${local.partition}:acm:${var.aws_region}:${local.account_id}:certificate/*"]
  }

  statement {
    actions   = ["ec2:GetSecurityGroupsForVpc"]
    resources = ["${local.ec2_arn}:vpc/${local.foundation.vpc_id}"]
  }
}

data "aws_iam_policy_document" "lb_controller_security_groups" {
  statement {
    actions   = ["ec2:CreateSecurityGroup"]
    resources = ["${local.ec2_arn}:security-group/*", "${local.ec2_arn}:vpc/${local.foundation.vpc_id}"]
  }

  statement {
    actions   = ["ec2:CreateTags"]
    resources = ["${local.ec2_arn}:security-group/*"]

    condition {
      test     = "StringEquals"
      variable = "ec2:CreateAction"
      values   = ["CreateSecurityGroup"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/${local.lb_cluster_tag}"
      values   = [local.name]
    }
  }

  # Security groups that the controller created.
  statement {
    actions = [
      "ec2:AuthorizeSecurityGroupIngress",
      "ec2:CreateTags",
      "ec2:DeleteSecurityGroup",
      "ec2:DeleteTags",
      "ec2:RevokeSecurityGroupIngress",
    ]
    resources = ["${local.ec2_arn}:security-group/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/${local.lb_cluster_tag}"
      values   = [local.name]
    }
  }

  # The nodes' security group, which the controller opens to its load balancers.
  statement {
    actions   = ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"]
    resources = ["${local.ec2_arn}:security-group/${local.foundation.node_security_group_id}"]
  }
}

data "aws_iam_policy_document" "lb_controller_load_balancers" {
  # Needed for the first load balancer of an account.
  statement {
    actions   = ["iam:CreateServiceLinkedRole"]
    resources = ["arn:${local.partition}:iam::${local.account_id}:role/aws-service-role/elasticloadbalancing.amazonaws.com/*"]

    condition {
      test     = "StringEquals"
      variable = "iam:AWSServiceName"
      values   = ["elasticloadbalancing.amazonaws.com"]
    }
  }

  statement {
    actions   = ["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup"]
    resources = ["${local.elb_arn}:loadbalancer/app/*", "${local.elb_arn}:targetgroup/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/${local.lb_cluster_tag}"
      values   = [local.name]
    }
  }

  statement {
    actions   = ["elasticloadbalancing:AddTags"]
    resources = ["${local.elb_arn}:loadbalancer/app/*", "${local.elb_arn}:targetgroup/*"]

    condition {
      test     = "StringEquals"
      variable = "elasticloadbalancing:CreateAction"
      values   = ["CreateLoadBalancer", "CreateTargetGroup"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/${local.lb_cluster_tag}"
      values   = [local.name]
    }
  }

  statement {
    actions = [
      "elasticloadbalancing:AddTags",
      "elasticloadbalancing:DeleteLoadBalancer",
      "elasticloadbalancing:DeleteTargetGroup",
      "elasticloadbalancing:DeregisterTargets",
      "elasticloadbalancing:ModifyLoadBalancerAttributes",
      "elasticloadbalancing:ModifyTargetGroup",
      "elasticloadbalancing:ModifyTargetGroupAttributes",
      "elasticloadbalancing:RegisterTargets",
      "elasticloadbalancing:RemoveTags",
      "elasticloadbalancing:SetIpAddressType",
      "elasticloadbalancing:SetSecurityGroups",
      "elasticloadbalancing:SetSubnets",
    ]
    resources = ["${local.elb_arn}:loadbalancer/app/*", "${local.elb_arn}:targetgroup/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/${local.lb_cluster_tag}"
      values   = [local.name]
    }
  }

  # Listeners and rules. Those created by older versions of the controller have no tag to match.
  statement {
    actions = [
      "elasticloadbalancing:AddListenerCertificates",
      "elasticloadbalancing:AddTags",
      "elasticloadbalancing:CreateRule",
      "elasticloadbalancing:DeleteListener",
      "elasticloadbalancing:DeleteRule",
      "elasticloadbalancing:ModifyListener",
      "elasticloadbalancing:ModifyListenerAttributes",
      "elasticloadbalancing:ModifyRule",
      "elasticloadbalancing:RemoveListenerCertificates",
      "elasticloadbalancing:RemoveTags",
      "elasticloadbalancing:SetRulePriorities",
    ]
    resources = [
      "${local.elb_arn}:listener/app/*",
      "${local.elb_arn}:listener-rule/app/*",
    ]
  }

  statement {
    actions   = ["elasticloadbalancing:CreateListener", "elasticloadbalancing:SetWebAcl"]
    resources = ["${local.elb_arn}:loadbalancer/app/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/${local.lb_cluster_tag}"
      values   = [local.name]
    }
  }

  statement {
    actions = [
      "wafv2:AssociateWebACL",
      "wafv2:DisassociateWebACL",
      "wafv2:GetWebACL",
      "wafv2:GetWebACLForResource",
    ]
    resources = [
      "arn:${local.partition}:wafv2:${var.aws_region}:${local.account_id}:regional/webacl/*",
      "${local.elb_arn}:loadbalancer/app/*",
    ]
  }
}
