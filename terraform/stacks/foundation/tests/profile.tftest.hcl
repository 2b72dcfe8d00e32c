# What the profile decides in the foundation.

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-south-2c", "eu-south-2a", "eu-south-2b", "eu-south-2d"] }
  }
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

variables {
  project                              = "payment-latency-api"
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

run "staging_has_one_nat_gateway" {
  command = plan

  variables {
    profile = "staging"
  }

  assert {
    condition     = length(output.nat_public_ips) == 1
    error_message = "staging pays for one NAT gateway"
  }
  assert {
    condition     = length(output.private_subnet_ids) == 3 && length(output.public_subnet_ids) == 3
    error_message = "three zones, however many there are"
  }
}

run "production_has_one_a_zone" {
  command = plan

  variables {
    profile = "production"
  }

  assert {
    condition     = length(output.nat_public_ips) == 3
    error_message = "in production a zone's failure must not cut the others off"
  }
}

run "the_region_file_decides_before_the_profile" {
  command = plan

  variables {
    profile            = "production"
    single_nat_gateway = true
  }

  assert {
    condition     = length(output.nat_public_ips) == 1
    error_message = "single_nat_gateway is the region's to say"
  }
}

run "too_few_zones" {
  command = plan

  variables {
    profile = "staging"
  }

  override_data {
    target = data.aws_availability_zones.this
    values = { names = ["eu-south-2a", "eu-south-2b"] }
  }

  expect_failures = [data.aws_availability_zones.this]
}
