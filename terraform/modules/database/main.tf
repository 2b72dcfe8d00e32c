resource "aws_db_parameter_group" "this" {
  name_prefix = "${var.name}-postgres${var.engine_version}-"
  family      = "postgres${var.engine_version}"
  description = "PostgreSQL ${var.engine_version} of ${var.name}"

  # Statements are not logged, because CREATE ROLE would write a password to the log.
  dynamic "parameter" {
    for_each = {
      "rds.force_ssl"    = "1"
      log_connections    = "1"
      log_disconnections = "1"
    }

    content {
      name  = parameter.key
      value = parameter.value
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

# Created here because RDS would create them without the key and keep them permanently.
resource "aws_cloudwatch_log_group" "this" {
  for_each = toset(["postgresql", "upgrade"])

  name              = "/aws/rds/instance/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

# The final snapshot outlives the database and its name must be unique. The creation time of the database
# distinguishes it from the snapshot of an earlier one.
resource "terraform_data" "created" {
  input = formatdate("YYYYMMDDhhmmss", timestamp())

  lifecycle {
    ignore_changes = [input]
  }
}

resource "aws_db_instance" "this" {
  identifier     = var.name
  engine         = "postgres"
  engine_version = var.engine_version
  instance_class = var.instance_class

  storage_type          = "gp3"
  allocated_storage     = var.storage_gib.initial
  max_allocated_storage = var.storage_gib.max
  storage_encrypted     = true
  kms_key_id            = var.kms_key_arn

  db_name                       = var.database
  port                          = 5432
  username                      = var.master_username
  manage_master_user_password   = true
  master_user_secret_kms_key_id = var.kms_key_arn

  multi_az                            = true
  publicly_accessible                 = false
  db_subnet_group_name                = var.subnet_group_name
  vpc_security_group_ids              = [var.security_group_id]
  ca_cert_identifier                  = var.ca_certificate
  parameter_group_name                = aws_db_parameter_group.this.name
  iam_database_authentication_enabled = true

  backup_retention_period    = var.backup_retention_days
  backup_window              = "03:00-04:00"
  maintenance_window         = "mon:04:00-mon:05:00"
  copy_tags_to_snapshot      = true
  auto_minor_version_upgrade = true
  apply_immediately          = var.apply_immediately

  # Enhanced Monitoring accepts 1, 5, 10, 15, 30 and 60 seconds and works with every class but db.m1.small. Performance
  # Insights, whose API outlived its console as Database Insights, works with every class for PostgreSQL, db.t4g.micro
  # included: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_DatabaseInsights.Engines.html
  monitoring_interval             = 60
  monitoring_role_arn             = aws_iam_role.monitoring.arn
  performance_insights_enabled    = true
  performance_insights_kms_key_id = var.kms_key_arn
  enabled_cloudwatch_logs_exports = [for kind, group in aws_cloudwatch_log_group.this : kind]

  deletion_protection       = var.deletion_protection
  delete_automated_backups  = !var.final_snapshot
  skip_final_snapshot       = !var.final_snapshot
  final_snapshot_identifier = "${var.name}-final-${terraform_data.created.output}"

  depends_on = [aws_iam_role_policy_attachment.monitoring]

  lifecycle {
    # Neither is read back from RDS. Without this, adopting a database that an interrupted run created would set them
    # again, and a password that is set again is another one, in another secret.
    ignore_changes = [manage_master_user_password, master_user_secret_kms_key_id]
  }
}
