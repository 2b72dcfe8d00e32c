module "external_dns_role" {
  source = "../../modules/irsa"

  name              = "${local.name}-external-dns"
  description       = "Writes the DNS records of ${local.foundation.app_domain}"
  oidc_issuer       = module.cluster.oidc_issuer
  oidc_provider_arn = module.cluster.oidc_provider_arn
  service_accounts  = [{ namespace = "external-dns", name = "external-dns-sa" }]

  policies = { records = data.aws_iam_policy_document.external_dns.json }
}

data "aws_iam_policy_document" "external_dns" {
  statement {
    actions   = ["route53:ListHostedZones", "route53:ListHostedZonesByName"]
    resources = ["*"]
  }

  statement {
    actions   = ["route53:ListResourceRecordSets", "route53:ListTagsForResources"]
    resources = [local.hosted_zone_arn]
  }

  statement {
    actions   = ["route53:GetChange"]
    resources = ["arn:${local.partition}:route53:::change/*"]
  }

  # All regions share the zone. A region may write its own name and the ownership records for it, whose names
  # have a prefix for the record type, but not the names of other regions.
  statement {
    actions   = ["route53:ChangeResourceRecordSets"]
    resources = [local.hosted_zone_arn]

    condition {
      test     = "ForAllValues:StringLike"
      variable = "route53:ChangeResourceRecordSetsNormalizedRecordNames"
      values   = [local.foundation.app_domain, "*-${local.foundation.app_domain}", "*.${local.foundation.app_domain}"]
    }
    condition {
      test     = "ForAllValues:StringEquals"
      variable = "route53:ChangeResourceRecordSetsRecordTypes"
      values   = ["A", "AAAA", "CNAME", "TXT"]
    }
  }
}

locals {
  hosted_zone_arn = "arn:${local.partition}:route53:::hostedzone/${local.foundation.hosted_zone_id}"
}
