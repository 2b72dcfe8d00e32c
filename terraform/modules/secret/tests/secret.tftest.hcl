# The container of a secret, whose value is written from outside.

mock_provider "aws" {}

variables {
  path                    = "payments/spain"
  name                    = "api"
  description             = "API key"
  kms_key_arn             = "arn:aws:kms:eu-south-2:123456789012:key/0"
  recovery_window_in_days = 0
}

run "secret" {
  command = plan

  assert {
    condition     = aws_secretsmanager_secret.this.name_prefix == "payments/spain/api-"
    error_message = "the name has a random suffix, because a deleted secret blocks its name for weeks"
  }
  assert {
    condition     = aws_secretsmanager_secret.this.kms_key_id == var.kms_key_arn
    error_message = "the secret is encrypted with the region's key"
  }
  assert {
    condition     = aws_secretsmanager_secret.this.recovery_window_in_days == 0
    error_message = "the recovery window is the one that was passed"
  }
}

run "a_secret_of_an_older_release_has_the_profile_in_its_name" {
  variables {
    path = "staging/spain"
    name = "payments-api"
  }

  assert {
    condition     = aws_secretsmanager_secret.this.name_prefix == "staging/spain/payments-api-"
    error_message = "the next run starts from this name"
  }
}

run "a_deployed_secret_keeps_its_name" {
  assert {
    condition     = aws_secretsmanager_secret.this.name_prefix == run.a_secret_of_an_older_release_has_the_profile_in_its_name.name_prefix
    error_message = "a new path must not rename a deployed secret: the rename would replace it and lose its value"
  }
  assert {
    condition     = aws_secretsmanager_secret.this.arn == run.a_secret_of_an_older_release_has_the_profile_in_its_name.arn
    error_message = "it is the same secret"
  }
}

run "a_recovery_window_that_secrets_manager_rejects" {
  command = plan

  variables {
    recovery_window_in_days = 6
  }

  expect_failures = [var.recovery_window_in_days]
}
