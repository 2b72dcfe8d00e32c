# The Kubernetes API: its network access, its administrators and the encryption of its Secrets.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  name                = "payments-spain"
  partition           = "aws"
  account_id          = "123456789012"
  aws_region          = "eu-south-2"
  kubernetes_version  = "1.35"
  support_type        = "STANDARD"
  subnet_ids          = ["subnet-0", "subnet-1", "subnet-2"]
  security_group_id   = "sg-0"
  public_access_cidrs = ["198.51.100.0/24"]
  administrators      = ["arn:aws:iam::123456789012:role/deployer"]
  kms_key_arn         = "arn:aws:kms:eu-south-2:123456789012:key/0"
  log_retention_days  = 30
  tags                = { Project = "payments", DataResidency = "EU" }
}

run "a_cluster_is_encrypted_logged_and_reached_from_listed_addresses" {
  command = plan

  assert {
    condition     = aws_eks_cluster.this.version == "1.35" && !aws_eks_cluster.this.bootstrap_self_managed_addons
    error_message = "the cluster has the requested version and only managed add-ons"
  }
  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_private_access && aws_eks_cluster.this.vpc_config[0].endpoint_public_access && aws_eks_cluster.this.vpc_config[0].public_access_cidrs == toset(["198.51.100.0/24"])
    error_message = "nodes reach the API inside the VPC; from outside, only the listed addresses do"
  }
  assert {
    condition     = tolist(aws_eks_cluster.this.encryption_config[0].resources) == tolist(["secrets"]) && aws_eks_cluster.this.encryption_config[0].provider[0].key_arn == var.kms_key_arn
    error_message = "Secrets are encrypted with the region's key"
  }
  assert {
    condition     = contains(data.aws_iam_policy_document.key.statement[0].actions, "kms:Encrypt") && toset(data.aws_iam_policy_document.key.statement[0].resources) == toset([var.kms_key_arn])
    error_message = "EKS may use this key and no other"
  }
  assert {
    condition     = contains(aws_eks_cluster.this.enabled_cluster_log_types, "audit") && aws_cloudwatch_log_group.this.name == "/aws/eks/payments-spain/cluster" && aws_cloudwatch_log_group.this.kms_key_id == var.kms_key_arn && aws_cloudwatch_log_group.this.retention_in_days == 30
    error_message = "the API's log is recorded, encrypted and expires"
  }
}

run "creating_a_cluster_gives_no_access_to_it" {
  command = plan

  assert {
    condition     = aws_eks_cluster.this.access_config[0].authentication_mode == "API" && !aws_eks_cluster.this.access_config[0].bootstrap_cluster_creator_admin_permissions
    error_message = "access is granted by access entries only"
  }
  assert {
    condition     = [for entry in values(aws_eks_access_entry.administrator) : entry.principal_arn] == ["arn:aws:iam::123456789012:role/deployer"]
    error_message = "administrators have access entries"
  }
  assert {
    condition     = [for association in values(aws_eks_access_policy_association.administrator) : association.policy_arn] == ["arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"]
    error_message = "administrators have the cluster administrator policy"
  }
}

run "a_version_whose_support_ends_is_upgraded_rather_than_paid_for" {
  command = plan

  assert {
    condition     = aws_eks_cluster.this.upgrade_policy[0].support_type == "STANDARD"
    error_message = "extended support is billed, so it must be requested"
  }
}

run "the_security_group_that_eks_creates_is_tagged" {
  command = plan

  assert {
    condition     = tomap({ for tag in aws_ec2_tag.cluster_security_group : tag.key => tag.value }) == var.tags
    error_message = "the provider's default tags do not reach resources that EKS creates"
  }
}

run "an_empty_list_of_addresses_is_rejected" {
  command = plan

  variables {
    # EKS treats an empty list as 0.0.0.0/0.
    public_access_cidrs = []
  }

  expect_failures = [var.public_access_cidrs]
}
