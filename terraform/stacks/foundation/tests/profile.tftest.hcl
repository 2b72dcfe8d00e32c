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
  mock_data "aws_route53_zone" {
    defaults = { zone_id = "Z0123456789ABCDEFGHIJ" }
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
  assert {
    condition     = module.key.deletion_window_in_days == 7 && module.registry.force_delete && alltrue([for secret in module.secret : secret.recovery_window_in_days == 0])
    error_message = "staging goes in one go"
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
  assert {
    condition     = module.key.deletion_window_in_days == 30 && !module.registry.force_delete && alltrue([for secret in module.secret : secret.recovery_window_in_days == 30])
    error_message = "in production nothing goes that cannot be brought back"
  }
}

run "a_protection_is_lifted_by_its_name_alone" {
  command = plan

  variables {
    profile            = "production"
    lifted_protections = ["registry"]
  }

  assert {
    condition     = module.registry.force_delete && alltrue([for secret in module.secret : secret.recovery_window_in_days == 30])
    error_message = "the others stay"
  }
}

run "everything_is_tagged_with_its_law" {
  command = plan

  variables {
    profile = "staging"
  }

  assert {
    condition = local.tags == {
      Project       = "payment-latency-api"
      Environment   = "staging"
      Region        = "spain"
      ManagedBy     = "terraform"
      DataResidency = "EU"
      Compliance    = "GDPR"
    }
    error_message = "whose it is, and which law its data is under"
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
