# A secret's container, whose value comes from elsewhere.

mock_provider "aws" {}

variables {
  path                    = "staging/spain"
  name                    = "payments-api"
  description             = "API key"
  kms_key_arn             = "arn:aws:kms:eu-south-2:123456789012:key/0"
  recovery_window_in_days = 0
}

run "secret" {
  command = plan

  assert {
    condition     = aws_secretsmanager_secret.this.name_prefix == "staging/spain/payments-api-"
    error_message = "a name of its own each time: a deleted secret keeps its name for weeks"
  }
  assert {
    condition     = aws_secretsmanager_secret.this.kms_key_id == var.kms_key_arn
    error_message = "encrypted with the region's key"
  }
  assert {
    condition     = aws_secretsmanager_secret.this.recovery_window_in_days == 0
    error_message = "how long it can be brought back is for the profile to say"
  }
}

run "a_window_that_secrets_manager_does_not_know" {
  command = plan

  variables {
    recovery_window_in_days = 6
  }

  expect_failures = [var.recovery_window_in_days]
}
