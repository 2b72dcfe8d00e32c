module "external_secrets_role" {
  source = "../../modules/irsa"

  name              = "${local.name}-external-secrets"
  description       = "Reads the secrets that External Secrets delivers to ${local.name}"
  oidc_issuer       = module.cluster.oidc_issuer
  oidc_provider_arn = module.cluster.oidc_provider_arn
  service_accounts  = [{ namespace = "external-secrets", name = "external-secrets-sa" }]

  policies = { secrets = data.aws_iam_policy_document.external_secrets.json }
}

data "aws_iam_policy_document" "external_secrets" {
  statement {
    actions = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
    resources = [
      local.foundation.api_secret_arn,
      local.foundation.db_app_secret_arn,
      local.foundation.db_migrator_secret_arn,
    ]
  }

  # The master secret, for migrations. RDS chooses its name, and the database is created in parallel with the
  # cluster, so its ARN is not known here. It is matched by its tag instead, which only RDS can set.
  statement {
    actions   = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
    resources = ["arn:${local.partition}:secretsmanager:${var.aws_region}:${local.account_id}:secret:*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/aws:rds:primaryDBInstanceArn"
      values   = ["arn:${local.partition}:rds:${var.aws_region}:${local.account_id}:db:${local.name}"]
    }
  }

  statement {
    actions   = ["kms:Decrypt"]
    resources = [local.foundation.kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["secretsmanager.${var.aws_region}.amazonaws.com"]
    }
  }
}
