# The database's proxy: logins, connection limits and permissions.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  name               = "payments-spain"
  aws_region         = "eu-south-2"
  db_instance_id     = "payments-spain"
  subnet_ids         = ["subnet-0", "subnet-1", "subnet-2"]
  security_group_id  = "sg-0"
  kms_key_arn        = "arn:aws:kms:eu-south-2:123456789012:key/0"
  log_retention_days = 30
  logins = {
    application = "arn:aws:secretsmanager:eu-south-2:123456789012:secret:app-AbCdEf"
    master      = "arn:aws:secretsmanager:eu-south-2:123456789012:secret:rds-AbCdEf"
  }
}

run "clients_log_in_with_the_given_secrets_over_tls" {
  command = plan

  assert {
    condition     = aws_db_proxy.this.require_tls && aws_db_proxy.this.engine_family == "POSTGRESQL"
    error_message = "TLS is required"
  }
  assert {
    condition     = aws_db_proxy.this.timeouts.delete == "85m"
    error_message = "a deletion that takes an hour is waited for"
  }
  assert {
    condition     = { for auth in aws_db_proxy.this.auth : auth.description => auth.secret_arn } == { application = var.logins["application"], master = var.logins["master"] }
    error_message = "only the given secrets are accepted"
  }
  assert {
    condition     = alltrue([for auth in aws_db_proxy.this.auth : auth.auth_scheme == "SECRETS" && auth.iam_auth == "DISABLED" && auth.client_password_auth_type == "POSTGRES_SCRAM_SHA_256"])
    error_message = "the password is checked with SCRAM and not sent"
  }
  assert {
    condition     = !aws_db_proxy.this.debug_logging && aws_cloudwatch_log_group.this.kms_key_id == var.kms_key_arn && aws_cloudwatch_log_group.this.retention_in_days == 30
    error_message = "statements are not logged; the log is encrypted and expires"
  }
}

run "connections_are_limited" {
  command = plan

  assert {
    condition     = aws_db_proxy_default_target_group.this.connection_pool_config[0].connection_borrow_timeout == 5
    error_message = "a request that finds no connection fails within seconds"
  }
  assert {
    condition     = aws_db_proxy_default_target_group.this.connection_pool_config[0].max_connections_percent == 90 && aws_db_proxy_default_target_group.this.connection_pool_config[0].max_idle_connections_percent == 50
    error_message = "some connections are reserved for migrations and operators"
  }
  assert {
    condition     = aws_db_proxy.this.idle_client_timeout == 1800 && aws_db_proxy_target.this.db_instance_identifier == "payments-spain"
    error_message = "an idle client is disconnected after half an hour"
  }
}

run "the_proxy_reads_its_secrets_only" {
  command = plan

  assert {
    condition = {
      for statement in data.aws_iam_policy_document.this.statement :
      join(" ", distinct([for action in statement.actions : split(":", action)[0]])) => toset(statement.resources)
      } == {
      secretsmanager = toset(values(var.logins))
      kms            = toset([var.kms_key_arn])
    }
    error_message = "it may read its secrets with the region's key, and nothing else"
  }
}
