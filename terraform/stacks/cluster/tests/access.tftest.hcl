# Who gets in: to the Kubernetes API, and from its service accounts into AWS.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

override_data {
  target = data.terraform_remote_state.foundation
  values = {
    outputs = {
      vpc_id                    = "vpc-0"
      private_subnet_ids        = ["subnet-0", "subnet-1", "subnet-2"]
      kms_key_arn               = "arn:aws:kms:eu-south-2:123456789012:key/0"
      cluster_security_group_id = "sg-0"
      node_security_group_id    = "sg-1"
      api_secret_arn            = "arn:aws:secretsmanager:eu-south-2:123456789012:secret:api-AbCdEf"
      db_app_secret_arn         = "arn:aws:secretsmanager:eu-south-2:123456789012:secret:app-AbCdEf"
      db_migrator_secret_arn    = "arn:aws:secretsmanager:eu-south-2:123456789012:secret:migrator-AbCdEf"
      hosted_zone_id            = "Z0"
      app_domain                = "api-es.payments.example"
    }
  }
}

variables {
  project                              = "payment-latency-api"
  profile                              = "staging"
  region_name                          = "spain"
  aws_region                           = "eu-south-2"
  role                                 = "hub"
  domain                               = "api-es.payments.example"
  state_bucket                         = "payment-latency-api-tfstate-123456789012-eu-south-2"
  data_residency                       = "EU"
  compliance                           = "GDPR"
  vpc_cidr                             = "10.10.0.0/16"
  hosted_zone_name                     = "payments.example"
  cluster_endpoint_public_access_cidrs = ["198.51.100.0/24"]
  deployer_arn                         = "arn:aws:iam::123456789012:role/deployer"
}

run "a_session_is_no_principal" {
  command = plan

  variables {
    deployer_arn = "arn:aws:sts::123456789012:assumed-role/deployer/somebody"
  }

  expect_failures = [var.deployer_arn]
}

run "a_spoke_is_open_to_the_hub_address_by_address" {
  command = plan

  variables {
    role          = "spoke"
    hub_nat_cidrs = ["203.0.113.0/24"]
  }

  expect_failures = [var.hub_nat_cidrs]
}

run "a_hub_is_no_spoke_of_itself" {
  command = plan

  variables {
    hub_nat_cidrs = ["203.0.113.7/32"]
  }

  expect_failures = [var.hub_nat_cidrs]
}

run "secrets_are_read_by_name" {
  command = plan

  assert {
    condition     = alltrue([for statement in data.aws_iam_policy_document.external_secrets.statement : length(statement.condition) > 0 || alltrue([for resource in statement.resources : !strcontains(resource, "*")])])
    error_message = "External Secrets reads exact ARNs, or what carries this database's tag"
  }
}

run "dns_is_written_below_the_own_domain" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for statement in data.aws_iam_policy_document.external_dns.statement : [
        for condition in statement.condition : [for value in condition.values : endswith(value, "api-es.payments.example")]
        if condition.variable == "route53:ChangeResourceRecordSetsNormalizedRecordNames"
      ] if contains(statement.actions, "route53:ChangeResourceRecordSets")
    ]))
    error_message = "a region's external-dns cannot write another region's records"
  }
}

run "system_pods_tolerate_the_system_nodes" {
  command = plan

  assert {
    condition     = jsondecode(aws_eks_addon.workload["coredns"].configuration_values).tolerations == [{ key = "dedicated", operator = "Equal", value = "system", effect = "NoSchedule" }]
    error_message = "CoreDNS runs on the system nodes"
  }
  assert {
    condition     = jsondecode(aws_eks_addon.network["vpc-cni"].configuration_values).enableNetworkPolicy == "true"
    error_message = "network policies are enforced"
  }
}

run "a_spoke_has_no_argocd" {
  command = plan

  variables {
    role          = "spoke"
    hub_nat_cidrs = ["203.0.113.7/32"]
  }

  assert {
    condition     = output.argocd_role_arn == ""
    error_message = "Argo CD lives on the hub"
  }
}

run "who_deploys_and_who_is_named_administer_the_cluster_once_each" {
  command = plan

  variables {
    administrator_arns = ["arn:aws:iam::123456789012:role/ci", "arn:aws:iam::123456789012:role/deployer"]
  }

  assert {
    condition     = module.cluster.administrator_arns == ["arn:aws:iam::123456789012:role/ci", "arn:aws:iam::123456789012:role/deployer"]
    error_message = "a run by one of those named changes nobody's access"
  }
}
