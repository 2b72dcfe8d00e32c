# The record of what was done cannot be read from outside, nor lost by a mistake.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  name                = "payments-spain"
  partition           = "aws"
  account_id          = "123456789012"
  aws_region          = "eu-south-2"
  multi_region        = true
  watched_bucket_arns = { state = "arn:aws:s3:::state" }
  kms_key_arn         = "arn:aws:kms:eu-south-2:123456789012:key/0"
  retention_days      = 2557
  log_retention_days  = 365
  force_destroy       = false
}

run "bucket" {
  command = plan

  assert {
    condition     = aws_s3_bucket.this.bucket == "payments-spain-audit-123456789012" && !aws_s3_bucket.this.force_destroy
    error_message = "bucket names are the world's: the account is part of it; it goes only when it is empty"
  }
  assert {
    condition     = aws_s3_bucket_public_access_block.this.block_public_acls && aws_s3_bucket_public_access_block.this.block_public_policy && aws_s3_bucket_public_access_block.this.ignore_public_acls && aws_s3_bucket_public_access_block.this.restrict_public_buckets
    error_message = "nothing in it can be made public"
  }
  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "what is overwritten stays"
  }
}

run "trail" {
  command = plan

  assert {
    condition     = aws_cloudtrail.this.enable_log_file_validation && aws_cloudtrail.this.is_multi_region_trail && aws_cloudtrail.this.kms_key_id == var.kms_key_arn
    error_message = "validated, for all regions, encrypted"
  }
}
