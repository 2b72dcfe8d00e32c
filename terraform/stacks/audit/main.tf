module "trail" {
  source = "../../modules/trail"

  name                = local.name
  partition           = local.partition
  account_id          = local.account_id
  aws_region          = var.aws_region
  multi_region        = var.multi_region_trail
  watched_bucket_arns = { "Terraform's state" = "arn:${local.partition}:s3:::${var.state_bucket}" }
  kms_key_arn         = local.foundation.kms_key_arn
  retention_days      = local.production ? 2557 : 90
  log_retention_days  = local.log_retention_days
  force_destroy       = !local.protected["audit-log"]
}

module "flow_log" {
  source = "../../modules/flow-log"

  name               = local.name
  partition          = local.partition
  account_id         = local.account_id
  aws_region         = var.aws_region
  vpc_id             = local.foundation.vpc_id
  kms_key_arn        = local.foundation.kms_key_arn
  log_retention_days = local.log_retention_days
}
