terraform {
  required_version = ">= 1.10.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, < 7.0.0"
    }
  }

  # Bucket, key and region differ by region and are passed to init. Without `encrypt`, which would ask for AES256, S3
  # encrypts with the bucket's own KMS key. The bucket's policy denies any other encryption.
  backend "s3" {
    use_lockfile = true
  }
}

provider "aws" {
  region = var.aws_region

  # The stack's folder names the stack. Only here and not in local.tags: what nodes and controllers create belongs to no
  # stack, and another tag in a launch template would replace every node.
  default_tags {
    tags = merge(local.tags, { Stack = basename(abspath(path.root)) })
  }
}
