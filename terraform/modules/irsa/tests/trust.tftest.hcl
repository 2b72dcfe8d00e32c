# A role for service accounts trusts only those that it names.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  name                = "payments-spain-external-dns"
  description         = "Writes records"
  oidc_issuer         = "https://oidc.eks.eu-south-2.amazonaws.com/id/0"
  oidc_provider_arn   = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-south-2.amazonaws.com/id/0"
  service_accounts    = [{ namespace = "external-dns", name = "external-dns-sa" }]
  policies            = { records = "{}" }
  managed_policy_arns = ["arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"]
}

run "one_service_account_is_trusted_by_its_full_name" {
  command = plan

  assert {
    condition     = [for statement in data.aws_iam_policy_document.trust.statement : toset(statement.actions)] == [toset(["sts:AssumeRoleWithWebIdentity"])]
    error_message = "the trust policy has one statement"
  }
  assert {
    condition     = [for principal in data.aws_iam_policy_document.trust.statement[0].principals : "${principal.type} ${join(" ", principal.identifiers)}"] == ["Federated ${var.oidc_provider_arn}"]
    error_message = "only tokens of this cluster are accepted"
  }
  assert {
    condition = {
      for condition in data.aws_iam_policy_document.trust.statement[0].condition :
      condition.variable => "${condition.test} ${join(" ", condition.values)}"
      } == {
      "oidc.eks.eu-south-2.amazonaws.com/id/0:aud" = "StringEquals sts.amazonaws.com"
      "oidc.eks.eu-south-2.amazonaws.com/id/0:sub" = "StringEquals system:serviceaccount:external-dns:external-dns-sa"
    }
    error_message = "only the named service account of the namespace is accepted"
  }
  assert {
    condition     = keys(aws_iam_role_policy.this) == ["records"] && keys(aws_iam_role_policy_attachment.this) == ["arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"]
    error_message = "the role has the given policies"
  }
}

run "a_wildcard_is_rejected" {
  command = plan

  variables {
    service_accounts = [{ namespace = "external-dns", name = "*" }]
  }

  expect_failures = [var.service_accounts]
}

run "an_empty_list_of_service_accounts_is_rejected" {
  command = plan

  variables {
    service_accounts = []
  }

  expect_failures = [var.service_accounts]
}
