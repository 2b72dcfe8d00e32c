# One key per region. Data encrypted with it cannot be read outside the region, and disabling it makes all of it
# unreadable. paydeploy removes it from the state before it destroys the stack, if final snapshots or backups need it.
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

# A key that outlived an earlier deployment is adopted with its alias, which would otherwise conflict. What is in the
# state already is not imported again.
import {
  for_each = toset(compact([var.kept_key_id]))

  to = module.key.aws_kms_key.this
  id = each.value
}

import {
  for_each = toset(compact([var.kept_key_id]))

  to = module.key.aws_kms_alias.this
  id = "alias/${local.name}"
}
