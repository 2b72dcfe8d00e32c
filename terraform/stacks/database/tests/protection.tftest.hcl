# The protections of each profile, and the effect of lifting one.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_data "aws_db_subnet_group" {
    defaults = { subnet_ids = ["subnet-0", "subnet-1", "subnet-2"] }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mock" }
  }
  # The default is a random word, and the provider rejects one that starts with a digit.
  mock_resource "aws_db_proxy_default_target_group" {
    defaults = { name = "default" }
  }
  mock_resource "aws_db_instance" {
    defaults = {
      address            = "payments.abc.eu-south-2.rds.amazonaws.com"
      master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-south-2:123456789012:secret:rds-AbCdEf" }]
    }
  }
}

override_data {
  target = data.terraform_remote_state.foundation
  values = {
    outputs = {
      kms_key_arn                = "arn:aws:kms:eu-south-2:123456789012:key/0"
      database_subnet_group_name = "payment-latency-api-spain"
      database_security_group_id = "sg-0"
      proxy_security_group_id    = "sg-1"
      db_app_secret_arn          = "arn:aws:secretsmanager:eu-south-2:123456789012:secret:app-AbCdEf"
    }
  }
}

variables {
  project                              = "payment-latency-api"
  region_name                          = "spain"
  aws_region                           = "eu-south-2"
  role                                 = "hub"
  domain                               = "api-es.payments.example"
  state_bucket                         = "payment-latency-api-tfstate-123456789012-eu-south-2"
  data_residency                       = "EU"
  compliance                           = "GDPR"
  vpc_cidr                             = "10.10.0.0/16"
  hosted_zone_name                     = "payments.example"
  cluster_endpoint_public_access_cidrs = ["198.51.100.0/24"]
}

run "production_protects_the_database_and_its_data" {
  command = plan

  variables {
    profile = "production"
  }

  assert {
    condition     = module.database.protected == { instance = true, data = true } && local.log_retention_days == 365
    error_message = "every protection applies unless it is lifted by name"
  }
}

run "lifting_one_protection_keeps_the_others" {
  command = plan

  variables {
    profile            = "production"
    lifted_protections = ["database"]
  }

  assert {
    condition     = module.database.protected == { instance = false, data = true } && local.protected["secrets"]
    error_message = "only the named protection is lifted"
  }
}

run "staging_is_deleted_in_one_pass" {
  command = plan

  variables {
    profile = "staging"
  }

  assert {
    condition     = module.database.protected == { instance = false, data = false } && !anytrue(values(local.protected))
    error_message = "nothing is protected in staging"
  }
}

run "an_unknown_protection_is_rejected" {
  command = plan

  variables {
    profile            = "production"
    lifted_protections = ["everything"]
  }

  expect_failures = [var.lifted_protections]
}

run "the_application_logs_in_through_the_proxy" {
  command = apply

  variables {
    profile = "staging"
  }

  assert {
    condition     = output.db_connection_endpoint != output.db_endpoint && output.proxy_name == "payment-latency-api-spain"
    error_message = "the application's host is the proxy's, not the instance's"
  }
}
