# One key per region. Data encrypted with it cannot be read outside the region, and disabling it makes all of it
# unreadable. paydeploy removes it from the state before it destroys the stack, if final snapshots or backups need it,
# and the next `up` imports it again: src/phase/terraform/data_key.rs knows its address.
module "key" {
  source = "../../modules/key"

  name                    = local.name
  partition               = local.partition
  account_id              = local.account_id
  aws_region              = var.aws_region
  deletion_window_in_days = local.production ? 30 : 7
  trail_name              = local.name

  # The log groups of all stacks, because only this stack can change the key's policy.
  log_groups = [
    "/aws/eks/${local.name}/cluster",
    "/aws/rds/instance/${local.name}/postgresql",
    "/aws/rds/instance/${local.name}/upgrade",
    "/aws/rds/proxy/${local.name}",
    "/aws/vpc/${local.name}/flow",
    "/aws/cloudtrail/${local.name}",
  ]
}
