module "cluster" {
  source = "../../modules/cluster"

  name                = local.name
  partition           = local.partition
  account_id          = local.account_id
  aws_region          = var.aws_region
  kubernetes_version  = var.kubernetes_version
  support_type        = var.cluster_support_type
  subnet_ids          = local.foundation.private_subnet_ids
  security_group_id   = local.foundation.cluster_security_group_id
  public_access_cidrs = distinct(concat(var.cluster_endpoint_public_access_cidrs, var.hub_nat_cidrs))
  administrators      = length(var.administrator_arns) > 0 ? var.administrator_arns : [var.deployer_arn]
  kms_key_arn         = local.foundation.kms_key_arn
  log_retention_days  = local.log_retention_days
  tags                = local.tags
}
