# The image registry: a tag means one image for ever, and releases to go back to stay.

mock_provider "aws" {}

variables {
  name         = "payments"
  kms_key_arn  = "arn:aws:kms:eu-south-2:123456789012:key/0"
  images_kept  = 30
  force_delete = false
}

run "registry" {
  command = plan

  assert {
    condition     = aws_ecr_repository.this.name == "payments" && aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE" && !aws_ecr_repository.this.force_delete
    error_message = "no tag is moved, and images do not go by mistake"
  }
  assert {
    condition     = aws_ecr_repository.this.image_scanning_configuration[0].scan_on_push
    error_message = "what is pushed is scanned"
  }
  assert {
    condition     = aws_ecr_repository.this.encryption_configuration[0].encryption_type == "KMS" && aws_ecr_repository.this.encryption_configuration[0].kms_key == var.kms_key_arn
    error_message = "encrypted with the region's key"
  }
}

run "what_is_kept" {
  command = plan

  assert {
    condition = { for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : rule.selection.tagStatus => "${rule.selection.countType} ${rule.selection.countNumber}" } == {
      untagged = "sinceImagePushed 7"
      tagged   = "imageCountMoreThan 30"
    }
    error_message = "as many releases as were asked for; what has no tag, a week"
  }
  assert {
    condition     = alltrue([for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : rule.selection.tagPatternList == ["*"] if rule.selection.tagStatus == "tagged"])
    error_message = "whatever its tag"
  }
}
