# The region's key: rotated, restorable, and usable only by the services that encrypt with it.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  name                    = "payments-spain"
  partition               = "aws"
  account_id              = "123456789012"
  aws_region              = "eu-south-2"
  deletion_window_in_days = 30
  log_groups              = ["/aws/eks/payments-spain/cluster"]
  trail_name              = "payments-spain"
}

run "the_key_is_rotated_and_has_an_alias" {
  command = plan

  assert {
    condition     = aws_kms_key.this.enable_key_rotation && aws_kms_key.this.deletion_window_in_days == 30
    error_message = "the key is rotated and can be restored for 30 days"
  }
  assert {
    condition     = aws_kms_alias.this.name == "alias/payments-spain"
    error_message = "the alias is the region's name"
  }
}

run "the_key_policy_limits_services_to_their_resources" {
  command = plan

  assert {
    condition     = [for statement in data.aws_iam_policy_document.this.statement : statement.sid if length(statement.condition) == 0] == ["Account"]
    error_message = "only the account itself may use the key without a condition"
  }
  assert {
    condition     = flatten([for statement in data.aws_iam_policy_document.this.statement : [for condition in statement.condition : "${condition.variable}=${join(" ", condition.values)}"] if statement.sid == "Trail"]) == ["aws:SourceArn=arn:aws:cloudtrail:eu-south-2:123456789012:trail/payments-spain"]
    error_message = "CloudTrail may use it for this trail only"
  }
  assert {
    condition     = [for statement in data.aws_iam_policy_document.this.statement : toset(statement.actions) if statement.sid == "Trail"] == [toset(["kms:GenerateDataKey*", "kms:Decrypt", "kms:DescribeKey"])]
    error_message = "CloudTrail may encrypt, and decrypt the data key of its bucket"
  }
  assert {
    condition     = flatten([for statement in data.aws_iam_policy_document.this.statement : [for condition in statement.condition : "${condition.variable}=${join(" ", condition.values)}"] if statement.sid == "Logs"]) == ["kms:EncryptionContext:aws:logs:arn=arn:aws:logs:eu-south-2:123456789012:log-group:/aws/eks/payments-spain/cluster"]
    error_message = "CloudWatch may use it for the named log groups only"
  }
  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.this.statement :
      contains(flatten([for condition in statement.condition : [for value in condition.values : "${condition.variable}=${value}"]]), "kms:CallerAccount=123456789012")
      if anytrue([for principal in statement.principals : contains(principal.identifiers, "*")])
    ])
    error_message = "no other account may use it"
  }
}

run "a_deletion_window_that_kms_rejects" {
  command = plan

  variables {
    deletion_window_in_days = 6
  }

  expect_failures = [var.deletion_window_in_days]
}
