# Roles of the EKS add-ons.

module "vpc_cni_role" {
  source = "../../modules/irsa"

  name              = "${local.name}-vpc-cni"
  description       = "Assigns IP addresses to the pods of ${local.name}"
  oidc_issuer       = module.cluster.oidc_issuer
  oidc_provider_arn = module.cluster.oidc_provider_arn
  service_accounts  = [{ namespace = "kube-system", name = "aws-node" }]

  managed_policy_arns = ["arn:${local.partition}:iam::aws:policy/AmazonEKS_CNI_Policy"]
}

module "ebs_csi_role" {
  source = "../../modules/irsa"

  name              = "${local.name}-ebs-csi"
  description       = "Creates the volumes of ${local.name}"
  oidc_issuer       = module.cluster.oidc_issuer
  oidc_provider_arn = module.cluster.oidc_provider_arn
  service_accounts  = [{ namespace = "kube-system", name = "ebs-csi-controller-sa" }]

  managed_policy_arns = ["arn:${local.partition}:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy"]
  policies            = { volume-key = data.aws_iam_policy_document.volume_key.json }
}

data "aws_iam_policy_document" "volume_key" {
  statement {
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo"]
    resources = [local.foundation.kms_key_arn]
  }

  statement {
    actions   = ["kms:CreateGrant"]
    resources = [local.foundation.kms_key_arn]

    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }
}
