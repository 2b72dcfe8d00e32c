# Wrong values in a region's file or a run's variable file are rejected, with the reason, before planning.

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-south-2a", "eu-south-2b", "eu-south-2c"] }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_route53_zone" {
    defaults = { zone_id = "Z0123456789ABCDEFGHIJ" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
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
}

run "names_that_aws_would_reject" {
  command = plan

  variables {
    project     = "Payment_API"
    region_name = "-spain"
  }

  expect_failures = [var.project, var.region_name]
}

run "a_project_too_long_for_its_buckets" {
  command = plan

  variables {
    project = "payment-latency-api-of-spain"
  }

  expect_failures = [var.project]
}

run "an_unknown_profile" {
  command = plan

  variables {
    profile = "prod"
  }

  expect_failures = [var.profile]
}

run "a_domain_outside_the_zone" {
  command = plan

  variables {
    domain = "api-es.example.org"
  }

  expect_failures = [var.domain]
}

run "a_network_too_small_for_its_tiers" {
  command = plan

  variables {
    vpc_cidr = "10.10.0.0/20"
  }

  expect_failures = [var.vpc_cidr]
}

run "a_network_that_does_not_start_at_its_first_address" {
  command = plan

  variables {
    vpc_cidr = "10.10.1.0/16"
  }

  expect_failures = [var.vpc_cidr]
}

run "a_kubernetes_api_open_to_everyone" {
  command = plan

  variables {
    cluster_endpoint_public_access_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.cluster_endpoint_public_access_cidrs]
}

run "an_empty_list_of_addresses_for_the_kubernetes_api" {
  command = plan

  variables {
    # EKS treats an empty list as 0.0.0.0/0.
    cluster_endpoint_public_access_cidrs = []
  }

  expect_failures = [var.cluster_endpoint_public_access_cidrs]
}

run "mexican_data_in_the_united_states" {
  command = plan

  variables {
    aws_region     = "us-east-1"
    data_residency = "MX"
  }

  expect_failures = [var.data_residency]
}

run "mexican_data_in_the_united_states_with_an_approval" {
  command = plan

  variables {
    aws_region               = "us-east-1"
    data_residency           = "MX"
    data_residency_exception = "approved in R-17"
  }

  assert {
    condition     = lookup(local.tags, "DataResidencyException", "") == "approved in R-17"
    error_message = "the resources are tagged with the approval"
  }
}

run "add_ons_without_exact_versions" {
  command = plan

  variables {
    addon_versions = { vpc_cni = "latest", kube_proxy = "v1.35.0-eksbuild.2", coredns = "v1.13.2-eksbuild.1", ebs_csi = "v1.57.1-eksbuild.1" }
  }

  expect_failures = [var.addon_versions]
}

run "credentials_of_another_account" {
  command = plan

  variables {
    state_bucket = "payment-latency-api-tfstate-210987654321-eu-south-2"
  }

  expect_failures = [data.aws_caller_identity.current]
}
