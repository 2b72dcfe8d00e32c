module "registry" {
  source = "../../modules/registry"

  name         = var.project
  kms_key_arn  = module.key.arn
  force_delete = !local.protected["registry"]
}

module "secret" {
  source = "../../modules/secret"

  for_each = {
    api         = "API key of ${var.project}"
    db-app      = "database login of the application"
    db-migrator = "database login of schema migrations"
  }

  # Without the profile, which may change while the secrets are in use.
  path                    = "${var.project}/${var.region_name}"
  name                    = each.key
  description             = each.value
  kms_key_arn             = module.key.arn
  recovery_window_in_days = local.protected["secrets"] ? 30 : 0
}

data "aws_route53_zone" "this" {
  name         = var.hosted_zone_name
  private_zone = false
}

module "certificate" {
  source = "../../modules/certificate"

  domain         = var.domain
  hosted_zone_id = data.aws_route53_zone.this.zone_id
}
