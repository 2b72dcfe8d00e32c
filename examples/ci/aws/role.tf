# The role that CI deploys with, once per AWS account. CI presents a short-lived OIDC token and AWS exchanges it
# for credentials: there is no static key to leak or to rotate.
#
#   terraform init
#   terraform apply -var issuer=https://token.actions.githubusercontent.com \
#     -var 'subjects=["repo:example/payments:environment:production", "repo:example/payments:environment:plan"]'
#
# GitLab: `issuer` is the instance (https://gitlab.com), and subjects have the form
# "project_path:example/payments:ref_type:branch:ref:main".

variable "issuer" {
  description = "OIDC issuer of the forge."
  type        = string
}

variable "subjects" {
  description = "Value of the token's `sub` claim for each job that may take the role. `*` stands for any characters."
  type        = list(string)

  validation {
    condition     = length(var.subjects) > 0 && !contains(var.subjects, "*")
    error_message = "subjects: name the repository, or every repository of the forge may take the role."
  }
}

variable "name" {
  description = "Name of the role."
  type        = string
  default     = "paydeploy"
}

variable "policy_arns" {
  description = "Policies of the role. The stacks create networks, clusters, databases, keys and IAM roles, so anything much below an administrator needs a policy written for the account."
  type        = list(string)
  default     = ["arn:aws:iam::aws:policy/AdministratorAccess"]
}

locals {
  audience = "sts.amazonaws.com"
  host     = trimprefix(var.issuer, "https://")
}

# An account has one provider per issuer. If it exists already, import it:
#   terraform import aws_iam_openid_connect_provider.forge arn:aws:iam::ACCOUNT:oidc-provider/HOST
resource "aws_iam_openid_connect_provider" "forge" {
  url            = var.issuer
  client_id_list = [local.audience]
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.forge.arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.host}:aud"
      values   = [local.audience]
    }

    condition {
      test     = "StringLike"
      variable = "${local.host}:sub"
      values   = var.subjects
    }
  }
}

resource "aws_iam_role" "deploy" {
  name               = var.name
  description        = "Deploys by paydeploy from CI."
  assume_role_policy = data.aws_iam_policy_document.trust.json

  # What up.yml asks for: a first deployment with retries can take longer than an hour.
  max_session_duration = 7200
}

resource "aws_iam_role_policy_attachment" "deploy" {
  for_each = toset(var.policy_arns)

  role       = aws_iam_role.deploy.name
  policy_arn = each.value
}

output "role_arn" {
  description = "Set it as PAYDEPLOY_ROLE (GitHub) or AWS_ROLE_ARN (GitLab)."
  value       = aws_iam_role.deploy.arn
}
