# Only the container. Its value is written from outside, so that no state file ever holds one.
resource "aws_secretsmanager_secret" "this" {
  name_prefix             = "${var.path}/${var.name}-"
  description             = var.description
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.recovery_window_in_days

  lifecycle {
    # A secret cannot be renamed, only replaced, and its value would be lost. Deployments made when the profile
    # was part of the path therefore keep their names.
    ignore_changes = [name_prefix]
  }
}
