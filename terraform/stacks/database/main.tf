module "database" {
  source = "../../modules/database"

  name                  = local.name
  partition             = local.partition
  account_id            = local.account_id
  aws_region            = var.aws_region
  engine_version        = var.db_engine_version
  instance_class        = var.db_instance_class
  storage_gib           = var.db_storage_gib
  ca_certificate        = var.db_ca_certificate
  database              = "payments"
  master_username       = "dbadmin"
  subnet_group_name     = local.foundation.database_subnet_group_name
  security_group_id     = local.foundation.database_security_group_id
  kms_key_arn           = local.foundation.kms_key_arn
  backup_retention_days = var.db_backup_retention_days
  log_retention_days    = local.log_retention_days
  deletion_protection   = local.protected["database"]
  final_snapshot        = local.protected["final-snapshot"]
  apply_immediately     = !local.production
}

data "aws_db_subnet_group" "this" {
  name = local.foundation.database_subnet_group_name
}

module "proxy" {
  source = "../../modules/proxy"

  name               = local.name
  aws_region         = var.aws_region
  db_instance_id     = module.database.id
  subnet_ids         = data.aws_db_subnet_group.this.subnet_ids
  security_group_id  = local.foundation.proxy_security_group_id
  kms_key_arn        = local.foundation.kms_key_arn
  log_retention_days = local.log_retention_days

  # The application's login exists only after the first migration. The master's exists from the start, so with it
  # the proxy can check the health of its target.
  logins = {
    application = local.foundation.db_app_secret_arn
    master      = module.database.master_secret_arn
  }
}
