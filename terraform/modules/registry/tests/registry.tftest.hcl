# The image registry: tags are immutable, and no tagged image expires.

mock_provider "aws" {}

variables {
  name         = "payments"
  kms_key_arn  = "arn:aws:kms:eu-south-2:123456789012:key/0"
  force_delete = false
}

run "images_are_immutable_scanned_and_encrypted" {
  command = plan

  assert {
    condition     = aws_ecr_repository.this.name == "payments" && aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE" && !aws_ecr_repository.this.force_delete
    error_message = "tags are immutable, and a repository with images is not deleted"
  }
  assert {
    condition     = aws_ecr_repository.this.image_scanning_configuration[0].scan_on_push
    error_message = "images are scanned when they are pushed"
  }
  assert {
    condition     = aws_ecr_repository.this.encryption_configuration[0].encryption_type == "KMS" && aws_ecr_repository.this.encryption_configuration[0].kms_key == var.kms_key_arn
    error_message = "images are encrypted with the region's key"
  }
}

run "an_image_that_runs_never_expires" {
  command = plan

  assert {
    condition     = { for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : rule.selection.tagStatus => "${rule.selection.countType} ${rule.selection.countNumber}" } == { untagged = "sinceImagePushed 7" }
    error_message = "only untagged images expire, after a week: a released image always has its commit's tag"
  }
}
