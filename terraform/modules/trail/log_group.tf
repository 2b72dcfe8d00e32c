locals {
  # Built by hand, because policies name the trail before it exists.
  trail_arn = "arn:${var.partition}:cloudtrail:${var.aws_region}:${var.account_id}:trail/${var.name}"
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/cloudtrail/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["cloudtrail.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceArn"
      values   = [local.trail_arn]
    }
  }
}

resource "aws_iam_role" "this" {
  name               = "${var.name}-trail"
  description        = "Copies the trail ${var.name} to CloudWatch"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

data "aws_iam_policy_document" "this" {
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:log-stream:${var.account_id}_CloudTrail_${var.aws_region}*"]
  }
}

resource "aws_iam_role_policy" "this" {
  name   = "write"
  role   = aws_iam_role.this.name
  policy = data.aws_iam_policy_document.this.json
}
