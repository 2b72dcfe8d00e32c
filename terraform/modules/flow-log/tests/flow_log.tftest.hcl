# The record of the VPC's network traffic.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  name               = "payments-spain"
  partition          = "aws"
  account_id         = "123456789012"
  aws_region         = "eu-south-2"
  vpc_id             = "vpc-0"
  kms_key_arn        = "arn:aws:kms:eu-south-2:123456789012:key/0"
  log_retention_days = 30
}

run "flow_log" {
  command = plan

  assert {
    condition     = aws_flow_log.this.vpc_id == "vpc-0" && aws_flow_log.this.traffic_type == "ALL" && aws_flow_log.this.max_aggregation_interval == 60
    error_message = "all traffic of the VPC is recorded every minute, including rejected connections"
  }
  assert {
    condition     = aws_flow_log.this.log_destination_type == "cloud-watch-logs" && aws_cloudwatch_log_group.this.kms_key_id == var.kms_key_arn && aws_cloudwatch_log_group.this.retention_in_days == 30
    error_message = "the log is encrypted and expires"
  }
  assert {
    condition     = toset(flatten([for condition in data.aws_iam_policy_document.trust.statement[0].condition : condition.values])) == toset(["123456789012", "arn:aws:ec2:eu-south-2:123456789012:vpc-flow-log/*"])
    error_message = "only flow logs of this account can assume the role"
  }
}
