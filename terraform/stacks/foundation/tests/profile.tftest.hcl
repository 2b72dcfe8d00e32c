# What the profile decides in the foundation, which zones it uses, and what it must leave alone.

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
  # The runs that apply pass these on to resources that check their format.
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-south-2:123456789012:key/0" }
  }
}

# A mocked certificate has no validation record.
override_module {
  target  = module.certificate
  outputs = { arn = "arn:aws:acm:eu-south-2:123456789012:certificate/0" }
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

run "staging_has_one_nat_gateway_and_is_deleted_in_one_pass" {
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
    error_message = "three zones are used, even where there are more"
  }
  assert {
    condition     = module.key.deletion_window_in_days == 7 && module.registry.force_delete && alltrue([for secret in module.secret : secret.recovery_window_in_days == 0])
    error_message = "staging is deleted in one pass, without a recovery window for secrets"
  }
}

run "production_has_one_nat_gateway_per_zone_and_recovery_windows" {
  command = plan

  variables {
    profile = "production"
  }

  assert {
    condition     = length(output.nat_public_ips) == 3
    error_message = "in production, the failure of a zone does not cut off the others"
  }
  assert {
    condition     = module.key.deletion_window_in_days == 30 && !module.registry.force_delete && alltrue([for secret in module.secret : secret.recovery_window_in_days == 30])
    error_message = "in production, everything deleted can be restored"
  }
}

run "lifting_one_protection_keeps_the_others" {
  command = plan

  variables {
    profile            = "production"
    lifted_protections = ["registry"]
  }

  assert {
    condition     = module.registry.force_delete && alltrue([for secret in module.secret : secret.recovery_window_in_days == 30])
    error_message = "only the registry's protection is lifted"
  }
}

run "every_resource_is_tagged_with_its_jurisdiction_and_law" {
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
    error_message = "the tags name the owner and the law that governs the data"
  }
}

run "the_region_file_overrides_the_profile" {
  command = plan

  variables {
    profile            = "production"
    single_nat_gateway = true
  }

  assert {
    condition     = length(output.nat_public_ips) == 1
    error_message = "single_nat_gateway overrides the profile's default"
  }
}

run "a_region_with_too_few_zones_is_rejected" {
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

# The zone's name differs between accounts, its id does not.
run "the_zone_of_us_east_1_without_eks_is_left_out" {
  command = plan

  variables {
    profile        = "staging"
    region_name    = "virginia"
    aws_region     = "us-east-1"
    role           = "spoke"
    domain         = "api-us.payments.example"
    state_bucket   = "payment-latency-api-tfstate-123456789012-us-east-1"
    data_residency = "US"
    compliance     = "LeyFederalMX"
  }

  assert {
    condition     = contains(data.aws_availability_zones.this.exclude_zone_ids, "use1-az3")
    error_message = "EKS creates no cluster in use1-az3"
  }
}

# The two runs below share one state: the first creates the resources that the second changes.

run "a_deployment_in_staging" {
  state_key = "from_staging"

  variables {
    profile = "staging"
  }
}

run "switches_to_production_and_keeps_its_secrets" {
  state_key = "from_staging"

  variables {
    profile = "production"
  }

  assert {
    condition     = [output.api_secret_arn, output.db_app_secret_arn, output.db_migrator_secret_arn] == [run.a_deployment_in_staging.api_secret_arn, run.a_deployment_in_staging.db_app_secret_arn, run.a_deployment_in_staging.db_migrator_secret_arn]
    error_message = "the secrets are not replaced"
  }
  assert {
    condition     = toset([for secret in module.secret : secret.name_prefix]) == toset(["payment-latency-api/spain/api-", "payment-latency-api/spain/db-app-", "payment-latency-api/spain/db-migrator-"])
    error_message = "their names do not contain the profile"
  }
  assert {
    condition     = alltrue([for secret in module.secret : secret.recovery_window_in_days == 30]) && length(output.nat_public_ips) == 3
    error_message = "everything else follows the new profile"
  }
}

run "a_deployment_in_production" {
  state_key = "from_production"

  variables {
    profile = "production"
  }
}

run "switches_to_staging_and_keeps_its_secrets" {
  state_key = "from_production"

  variables {
    profile = "staging"
  }

  assert {
    condition     = [output.api_secret_arn, output.db_app_secret_arn, output.db_migrator_secret_arn] == [run.a_deployment_in_production.api_secret_arn, run.a_deployment_in_production.db_app_secret_arn, run.a_deployment_in_production.db_migrator_secret_arn]
    error_message = "the secrets are not replaced"
  }
  assert {
    condition     = toset([for secret in module.secret : secret.name_prefix]) == toset(["payment-latency-api/spain/api-", "payment-latency-api/spain/db-app-", "payment-latency-api/spain/db-migrator-"])
    error_message = "their names do not contain the profile"
  }
  assert {
    condition     = alltrue([for secret in module.secret : secret.recovery_window_in_days == 0]) && length(output.nat_public_ips) == 1
    error_message = "everything else follows the new profile"
  }
}
