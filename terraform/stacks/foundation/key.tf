# One key for the region: what is encrypted with it cannot be read outside the region, and disabling it
# shuts all of it at once.
module "key" {
  source = "../../modules/key"

  name                    = local.name
  partition               = local.partition
  account_id              = local.account_id
  aws_region              = var.aws_region
  deletion_window_in_days = local.production ? 30 : 7
  trail_name              = local.name

  # the groups of all stacks: a stack of its own cannot change the key's policy
  log_groups = [
    "/aws/eks/${local.name}/cluster",
    "/aws/rds/instance/${local.name}/postgresql",
    "/aws/rds/instance/${local.name}/upgrade",
    "/aws/rds/proxy/${local.name}",
    "/aws/vpc/${local.name}/flow",
    "/aws/cloudtrail/${local.name}",
  ]
}
