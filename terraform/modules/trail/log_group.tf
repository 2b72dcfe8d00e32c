locals {
  # Built by hand, because policies name the trail before it exists.
  trail_arn = "arn:${var.partition}:cloudtrail:${var.aws_region}:${var.account_id}:trail/${var.name}"
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/cloudtrail/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

# Without a condition on the source: CloudTrail sends neither aws:SourceArn nor aws:SourceAccount when it assumes this
# role, so with one it could not assume the role and AWS would refuse the trail.
# https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-required-policy-for-cloudwatch-logs.html
data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["cloudtrail.amazonaws.com"]
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
