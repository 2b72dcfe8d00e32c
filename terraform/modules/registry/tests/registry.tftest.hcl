# The image registry: tags are immutable, and images needed for rollbacks are kept.

mock_provider "aws" {}

variables {
  name         = "payments"
  kms_key_arn  = "arn:aws:kms:eu-south-2:123456789012:key/0"
  images_kept  = 30
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

run "old_images_expire" {
  command = plan

  assert {
    condition = { for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : rule.selection.tagStatus => "${rule.selection.countType} ${rule.selection.countNumber}" } == {
      untagged = "sinceImagePushed 7"
      tagged   = "imageCountMoreThan 30"
    }
    error_message = "the requested number of tagged images is kept, and untagged images for a week"
  }
  assert {
    condition     = alltrue([for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : rule.selection.tagPatternList == ["*"] if rule.selection.tagStatus == "tagged"])
    error_message = "the limit applies to every tag"
  }
}
