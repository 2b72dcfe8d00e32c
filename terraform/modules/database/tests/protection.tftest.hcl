# Protection of the data, with and without the protections of production.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/monitoring" }
  }
}

variables {
  name                  = "payments-spain"
  partition             = "aws"
  account_id            = "123456789012"
  aws_region            = "eu-south-2"
  engine_version        = "17"
  instance_class        = "db.t4g.micro"
  storage_gib           = { initial = 20, max = 50 }
  ca_certificate        = null
  database              = "payments"
  master_username       = "dbadmin"
  subnet_group_name     = "payments-spain"
  security_group_id     = "sg-0"
  kms_key_arn           = "arn:aws:kms:eu-south-2:123456789012:key/0"
  backup_retention_days = 30
  log_retention_days    = 30
}

run "data_is_encrypted_and_redundant_with_every_profile" {
  command = plan

  variables {
    deletion_protection = false
    final_snapshot      = false
    apply_immediately   = true
  }

  assert {
    condition     = aws_db_instance.this.storage_encrypted && aws_db_instance.this.kms_key_id == var.kms_key_arn && aws_db_instance.this.performance_insights_kms_key_id == var.kms_key_arn
    error_message = "all data at rest is encrypted with the region's key"
  }
  assert {
    condition     = aws_db_instance.this.manage_master_user_password && aws_db_instance.this.password == null
    error_message = "Terraform never reads the master password"
  }
  assert {
    condition     = contains([for parameter in aws_db_parameter_group.this.parameter : "${parameter.name}=${parameter.value}"], "rds.force_ssl=1")
    error_message = "TLS is required"
  }
  assert {
    condition     = aws_db_instance.this.multi_az && !aws_db_instance.this.publicly_accessible
    error_message = "the database runs in two zones and is not reachable from the internet"
  }
  assert {
    condition     = keys(aws_cloudwatch_log_group.this) == ["postgresql", "upgrade"] && aws_db_instance.this.enabled_cloudwatch_logs_exports == toset(["postgresql", "upgrade"])
    error_message = "its logs are exported to CloudWatch"
  }
  assert {
    condition     = alltrue([for group in aws_cloudwatch_log_group.this : group.kms_key_id == var.kms_key_arn && group.retention_in_days == 30])
    error_message = "its logs are encrypted and expire"
  }
  assert {
    condition     = !aws_db_instance.this.deletion_protection && aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.delete_automated_backups
    error_message = "without protections, nothing of it remains after a deletion"
  }
}

run "it_can_be_restored_to_any_minute_of_the_last_month" {
  command = plan

  variables {
    deletion_protection = true
    final_snapshot      = true
    apply_immediately   = false
  }

  assert {
    condition     = aws_db_instance.this.backup_retention_period == 30 && aws_db_instance.this.backup_window == "03:00-04:00" && aws_db_instance.this.maintenance_window == "mon:04:00-mon:05:00"
    error_message = "the nightly backup runs before the maintenance window"
  }
  assert {
    condition     = aws_db_instance.this.deletion_protection && !aws_db_instance.this.apply_immediately
    error_message = "it is protected from deletion and changes outside the maintenance window"
  }
  assert {
    condition     = aws_db_instance.this.monitoring_interval == 60 && aws_db_instance.this.performance_insights_enabled
    error_message = "it is monitored every minute"
  }
  assert {
    condition     = length(setsubtract(["log_connections=1", "log_disconnections=1"], [for parameter in aws_db_parameter_group.this.parameter : "${parameter.name}=${parameter.value}"])) == 0
    error_message = "connections and disconnections are logged"
  }
  assert {
    condition     = aws_db_instance.this.engine == "postgres" && aws_db_instance.this.engine_version == "17" && aws_db_parameter_group.this.family == "postgres17" && aws_db_instance.this.db_name == "payments" && aws_db_instance.this.allocated_storage == 20 && aws_db_instance.this.max_allocated_storage == 50
    error_message = "the version is the requested one, and the storage can grow"
  }
}

run "lifting_the_deletion_protection_keeps_the_final_snapshot" {
  command = plan

  variables {
    deletion_protection = false
    final_snapshot      = true
    apply_immediately   = false
  }

  assert {
    condition     = !aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot && !aws_db_instance.this.delete_automated_backups
    error_message = "a database that may be deleted still leaves its data"
  }
}
