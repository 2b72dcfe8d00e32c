# The trail cannot be read from outside or lost by mistake.

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
  multi_region        = false
  watched_bucket_arns = { state = "arn:aws:s3:::state" }
  kms_key_arn         = "arn:aws:kms:eu-south-2:123456789012:key/0"
  retention_days      = 2557
  log_retention_days  = 365
  force_destroy       = false
}

run "the_bucket_is_private_versioned_and_encrypted" {
  command = plan

  assert {
    condition     = aws_s3_bucket.this.bucket == "payments-spain-audit-123456789012" && !aws_s3_bucket.this.force_destroy
    error_message = "the bucket's name contains the account id, because names are global; it is deleted only when empty"
  }
  assert {
    condition     = aws_s3_bucket_public_access_block.this.block_public_acls && aws_s3_bucket_public_access_block.this.block_public_policy && aws_s3_bucket_public_access_block.this.ignore_public_acls && aws_s3_bucket_public_access_block.this.restrict_public_buckets
    error_message = "no object can be made public"
  }
  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "overwritten objects are kept"
  }
  assert {
    condition     = alltrue([for rule in aws_s3_bucket_server_side_encryption_configuration.this.rule : rule.apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms" && rule.apply_server_side_encryption_by_default[0].kms_master_key_id == var.kms_key_arn])
    error_message = "objects are encrypted with the region's key"
  }
  assert {
    condition     = one(aws_s3_bucket_ownership_controls.this.rule[*].object_ownership) == "BucketOwnerEnforced"
    error_message = "the account owns every object, whichever principal wrote it"
  }
  assert {
    condition     = one(aws_s3_bucket_lifecycle_configuration.this.rule[*].expiration[0].days) == 2557
    error_message = "objects are kept for the requested time"
  }
}

run "the_trail_records_the_account_and_reads_of_the_state" {
  command = plan

  assert {
    condition     = aws_cloudtrail.this.enable_log_file_validation && aws_cloudtrail.this.kms_key_id == var.kms_key_arn
    error_message = "the trail is validated and encrypted"
  }
  assert {
    condition     = !aws_cloudtrail.this.is_multi_region_trail
    error_message = "events of other regions do not come here, and events of this region stay here"
  }
  assert {
    condition     = contains(flatten([for selector in aws_cloudtrail.this.advanced_event_selector : [for field in selector.field_selector : field.equals if field.field == "eventCategory"]]), "Management")
    error_message = "management events are recorded"
  }
  assert {
    condition     = contains(flatten([for selector in aws_cloudtrail.this.advanced_event_selector : [for field in selector.field_selector : coalesce(field.starts_with, [])]]), "arn:aws:s3:::state/")
    error_message = "reads of Terraform's state are recorded"
  }
}

run "global_services_are_recorded_where_aws_records_them" {
  command = plan

  assert {
    condition     = !output.global_service_events
    error_message = "a trail of one region outside us-east-1 never receives the events of global services"
  }
}

run "the_trail_in_us_east_1_records_the_global_services" {
  command = plan

  variables {
    aws_region = "us-east-1"
  }

  assert {
    condition     = output.global_service_events && !output.multi_region
    error_message = "us-east-1 records the global services without the other regions"
  }
}

run "a_trail_of_all_regions_records_the_global_services" {
  command = plan

  variables {
    multi_region = true
  }

  assert {
    condition     = output.global_service_events && output.multi_region
    error_message = "AWS rejects a multi-region trail without the global services"
  }
}

run "cloudtrail_can_use_its_role_and_its_bucket" {
  command = plan

  assert {
    condition     = length(data.aws_iam_policy_document.trust.statement) == 1 && length(data.aws_iam_policy_document.trust.statement[0].condition) == 0
    error_message = "CloudTrail sends no source when it assumes the role, so a condition on it would make AWS refuse the trail"
  }
  assert {
    condition = {
      for statement in data.aws_iam_policy_document.bucket.statement : statement.sid => toset(flatten([for condition in statement.condition : condition.values]))
      if statement.effect != "Deny"
      } == {
      TrailLooks  = toset(["arn:aws:cloudtrail:eu-south-2:123456789012:trail/payments-spain"])
      TrailWrites = toset(["arn:aws:cloudtrail:eu-south-2:123456789012:trail/payments-spain", "bucket-owner-full-control"])
    }
    error_message = "only this trail reads the bucket's ACL and writes to it"
  }
}
