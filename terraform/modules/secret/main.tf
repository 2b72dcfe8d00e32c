# The container only. Its value is put from outside, so that no state file ever holds one.
resource "aws_secretsmanager_secret" "this" {
  name_prefix             = "${var.path}/${var.name}-"
  description             = var.description
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.recovery_window_in_days
}
