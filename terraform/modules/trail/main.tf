locals {
  # AWS records the events of its global services (IAM, Route 53, STS's global endpoint) in us-east-1, and delivers them
  # only to single-region trails there and to multi-region trails. Elsewhere the setting would promise events that never
  # come. https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-concepts.html (global service events)
  global_service_events = var.multi_region || var.aws_region == "us-east-1"
}

resource "aws_cloudtrail" "this" {
  name                          = var.name
  s3_bucket_name                = aws_s3_bucket.this.id
  is_multi_region_trail         = var.multi_region
  include_global_service_events = local.global_service_events
  enable_log_file_validation    = true
  kms_key_id                    = var.kms_key_arn
  cloud_watch_logs_group_arn    = "${aws_cloudwatch_log_group.this.arn}:*"
  cloud_watch_logs_role_arn     = aws_iam_role.this.arn

  advanced_event_selector {
    name = "management events"

    field_selector {
      field  = "eventCategory"
      equals = ["Management"]
    }
  }

  # Buckets whose objects reveal much about the system.
  dynamic "advanced_event_selector" {
    for_each = var.watched_bucket_arns

    content {
      name = "objects of ${advanced_event_selector.key}"

      field_selector {
        field  = "eventCategory"
        equals = ["Data"]
      }
      field_selector {
        field  = "resources.type"
        equals = ["AWS::S3::Object"]
      }
      field_selector {
        field       = "resources.ARN"
        starts_with = ["${advanced_event_selector.value}/"]
      }
    }
  }

  # The trail's own bucket: reads and deletions are recorded. Writes are not, because recording the trail's own
  # writes would cause more of them.
  dynamic "advanced_event_selector" {
    for_each = { reads = ["GetObject"], deletions = ["DeleteObject", "DeleteObjects"] }

    content {
      name = "${advanced_event_selector.key} in the audit log"

      field_selector {
        field  = "eventCategory"
        equals = ["Data"]
      }
      field_selector {
        field  = "resources.type"
        equals = ["AWS::S3::Object"]
      }
      field_selector {
        field  = "eventName"
        equals = advanced_event_selector.value
      }
      field_selector {
        field       = "resources.ARN"
        starts_with = ["${aws_s3_bucket.this.arn}/"]
      }
    }
  }

  # CloudTrail checks its access to the bucket and the log group when the trail is created.
  depends_on = [aws_s3_bucket_policy.this, aws_iam_role_policy.this]
}
