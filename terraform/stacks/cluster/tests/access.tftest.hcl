# Access to the Kubernetes API, and access of its service accounts to AWS.

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
  mock_data "aws_ssm_parameter" {
    defaults = { insecure_value = "1.35.0-20251112" }
  }
}

override_data {
  target = data.terraform_remote_state.foundation
  values = {
    outputs = {
      vpc_id                      = "vpc-0"
      private_subnet_ids          = ["subnet-0", "subnet-1", "subnet-2"]
      kms_key_arn                 = "arn:aws:kms:eu-south-2:123456789012:key/0"
      cluster_security_group_id   = "sg-0"
      node_security_group_id      = "sg-1"
      migration_security_group_id = "sg-2"
      api_secret_arn              = "arn:aws:secretsmanager:eu-south-2:123456789012:secret:api-AbCdEf"
      db_app_secret_arn           = "arn:aws:secretsmanager:eu-south-2:123456789012:secret:app-AbCdEf"
      db_migrator_secret_arn      = "arn:aws:secretsmanager:eu-south-2:123456789012:secret:migrator-AbCdEf"
      hosted_zone_id              = "Z0"
      app_domain                  = "api-es.payments.example"
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

run "a_session_as_deployer_is_rejected" {
  command = plan

  variables {
    deployer_arn = "arn:aws:sts::123456789012:assumed-role/deployer/session"
  }

  expect_failures = [var.deployer_arn]
}

run "a_block_as_the_hubs_address_is_rejected" {
  command = plan

  variables {
    role          = "spoke"
    hub_nat_cidrs = ["203.0.113.0/24"]
  }

  expect_failures = [var.hub_nat_cidrs]
}

run "hub_addresses_on_the_hub_are_rejected" {
  command = plan

  variables {
    hub_nat_cidrs = ["203.0.113.7/32"]
  }

  expect_failures = [var.hub_nat_cidrs]
}

run "a_hub_is_reached_from_the_listed_addresses_only" {
  command = plan

  assert {
    condition     = module.cluster.public_access_cidrs == toset(["198.51.100.0/24"])
    error_message = "only the listed addresses reach the API"
  }
}

run "a_spoke_is_reached_by_its_hub_as_well" {
  command = plan

  variables {
    role          = "spoke"
    hub_nat_cidrs = ["203.0.113.7/32"]
  }

  assert {
    condition     = module.cluster.public_access_cidrs == toset(["198.51.100.0/24", "203.0.113.7/32"])
    error_message = "Argo CD reaches the spoke's API from the hub's NAT address"
  }
}

run "external_secrets_reads_the_regions_secrets_only" {
  command = plan

  assert {
    condition = toset(flatten([for statement in data.aws_iam_policy_document.external_secrets.statement : statement.resources if length(statement.condition) == 0])) == toset([
      "arn:aws:secretsmanager:eu-south-2:123456789012:secret:api-AbCdEf",
      "arn:aws:secretsmanager:eu-south-2:123456789012:secret:app-AbCdEf",
      "arn:aws:secretsmanager:eu-south-2:123456789012:secret:migrator-AbCdEf",
    ])
    error_message = "External Secrets may read exact ARNs"
  }
  assert {
    condition = flatten([
      for statement in data.aws_iam_policy_document.external_secrets.statement : [for condition in statement.condition : "${condition.test} ${condition.variable} ${join(" ", condition.values)}"]
      if contains(statement.actions, "secretsmanager:GetSecretValue")
    ]) == ["StringEquals aws:ResourceTag/aws:rds:primaryDBInstanceArn arn:aws:rds:eu-south-2:123456789012:db:payment-latency-api-spain"]
    error_message = "and the secret with this database's tag"
  }
}

run "external_dns_writes_its_own_domain_only" {
  command = plan

  assert {
    # The condition must exist: without one, every name would be allowed.
    condition = [
      for statement in data.aws_iam_policy_document.external_dns.statement : toset(flatten([
        for condition in statement.condition : condition.values
        if condition.variable == "route53:ChangeResourceRecordSetsNormalizedRecordNames" && endswith(condition.test, "StringLike")
      ])) if contains(statement.actions, "route53:ChangeResourceRecordSets")
    ] == [toset(["api-es.payments.example", "*-api-es.payments.example", "*.api-es.payments.example"])]
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
    condition     = [for taint in module.node_group["system"].taints : "${taint.key}=${taint.value}:${taint.effect}"] == ["dedicated=system:NO_SCHEDULE"] && length(module.node_group["application"].taints) == 0
    error_message = "the system nodes are tainted, and the application's nodes are not"
  }
  assert {
    condition     = jsondecode(aws_eks_addon.network["vpc-cni"].configuration_values).enableNetworkPolicy == "true"
    error_message = "network policies are enforced"
  }
}

run "only_the_system_nodes_reach_the_database_itself" {
  command = plan

  assert {
    condition     = module.node_group["system"].security_group_ids == toset(["sg-1", "sg-2"])
    error_message = "migrations run on the system nodes"
  }
  assert {
    condition     = module.node_group["application"].security_group_ids == toset(["sg-1"])
    error_message = "the application's pods have to use the proxy"
  }
}

run "resources_that_add_ons_create_have_the_common_tags" {
  command = plan

  assert {
    condition     = jsondecode(aws_eks_addon.workload["aws-ebs-csi-driver"].configuration_values).controller.extraVolumeTags == { Project = "payment-latency-api", Environment = "staging", Region = "spain", ManagedBy = "terraform", DataResidency = "EU", Compliance = "GDPR" }
    error_message = "volumes of pods"
  }
  assert {
    condition     = jsondecode(jsondecode(aws_eks_addon.network["vpc-cni"].configuration_values).env.ADDITIONAL_ENI_TAGS)["Project"] == "payment-latency-api"
    error_message = "network interfaces of pods"
  }
}

run "nodes_have_the_recommended_image" {
  command = plan

  assert {
    condition     = alltrue([for group in module.node_group : group.release_version == "1.35.0-20251112"])
    error_message = "patched images arrive with the next run"
  }
  assert {
    condition     = data.aws_ssm_parameter.node_release.name == "/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/standard/recommended/release_version"
    error_message = "AWS recommends it for the cluster's Kubernetes version"
  }
}

run "nodes_stay_at_a_release_that_the_region_file_names_and_a_newer_one_is_reported" {
  command = plan

  variables {
    node_release_version  = "1.35.0-20250101"
    running_node_releases = { system = "1.35.0-20241212", application = "1.35.0-20241212" }
  }

  expect_failures = [check.node_release]

  assert {
    condition     = alltrue([for group in module.node_group : group.release_version == "1.35.0-20250101"])
    error_message = "the file says which release is wanted"
  }
}

run "nodes_of_production_keep_the_release_that_they_have_and_a_newer_one_is_reported" {
  command = plan

  variables {
    running_node_releases = { system = "1.35.0-20250101", application = "1.34.2-20250101" }
  }

  expect_failures = [check.node_release]

  assert {
    condition     = module.node_group["system"].release_version == "1.35.0-20250101"
    error_message = "only a person decides that nodes are replaced"
  }
  assert {
    condition     = module.node_group["application"].release_version == "1.35.0-20251112"
    error_message = "a release of another Kubernetes version cannot be kept"
  }
}

run "an_older_recommendation_and_node_groups_of_others_are_not_reported" {
  command = plan

  variables {
    running_node_releases = { system = "1.35.0-20251224", application = "1.35.0-20251112", gpu = "1.35.0-20250801" }
  }

  assert {
    condition     = module.node_group["system"].release_version == "1.35.0-20251224"
    error_message = "EKS refuses to go back"
  }
}

run "add_ons_have_the_configured_versions" {
  command = plan

  variables {
    addon_versions = { vpc_cni = "v1.0.1-eksbuild.1", kube_proxy = "v1.0.2-eksbuild.1", coredns = "v1.0.3-eksbuild.1", ebs_csi = "v1.0.4-eksbuild.1" }
  }

  assert {
    condition = { for name, addon in merge(aws_eks_addon.network, aws_eks_addon.workload) : name => addon.addon_version } == {
      vpc-cni            = "v1.0.1-eksbuild.1"
      kube-proxy         = "v1.0.2-eksbuild.1"
      coredns            = "v1.0.3-eksbuild.1"
      aws-ebs-csi-driver = "v1.0.4-eksbuild.1"
    }
    error_message = "only configured versions are installed"
  }
}

run "a_spoke_has_no_role_for_argo_cd" {
  command = plan

  variables {
    role          = "spoke"
    hub_nat_cidrs = ["203.0.113.7/32"]
  }

  assert {
    condition     = output.argocd_role_arn == ""
    error_message = "Argo CD runs on the hub"
  }
  assert {
    condition     = length(module.argocd_role) == 0
    error_message = "its role exists on the hub only"
  }
}

run "without_a_list_the_deployer_administers_the_cluster" {
  command = plan

  assert {
    condition     = module.cluster.administrator_arns == ["arn:aws:iam::123456789012:role/deployer"]
    error_message = "who deploys also needs the cluster"
  }
}

run "a_list_of_administrators_is_complete" {
  command = plan

  variables {
    administrator_arns = ["arn:aws:iam::123456789012:role/ci", "arn:aws:iam::123456789012:user/ana"]
  }

  assert {
    condition     = module.cluster.administrator_arns == ["arn:aws:iam::123456789012:role/ci", "arn:aws:iam::123456789012:user/ana"]
    error_message = "a run by another principal changes no access"
  }
}
