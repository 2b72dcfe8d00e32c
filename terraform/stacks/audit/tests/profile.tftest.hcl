# Which events the trail records, how long it is kept, and whether it is deleted with the region.

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
      vpc_id      = "vpc-0"
      kms_key_arn = "arn:aws:kms:eu-south-2:123456789012:key/0"
    }
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

run "staging_keeps_the_trail_for_90_days" {
  command = plan

  variables {
    profile = "staging"
  }

  assert {
    condition     = module.trail.retention_days == 90 && module.trail.force_destroy
    error_message = "the trail is kept for 90 days and deleted with the region"
  }
}

run "production_keeps_the_trail_for_seven_years" {
  command = plan

  variables {
    profile = "production"
  }

  assert {
    condition     = module.trail.retention_days == 2557 && !module.trail.force_destroy
    error_message = "the trail is kept for seven years, and its bucket is not deleted with it"
  }
}

run "lifting_the_protection_deletes_the_trail_with_the_region" {
  command = plan

  variables {
    profile            = "production"
    lifted_protections = ["audit-log"]
  }

  assert {
    condition     = module.trail.force_destroy && module.trail.retention_days == 2557
    error_message = "the trail is deleted with the region once its protection is lifted"
  }
}

run "events_of_the_eu_stay_in_the_eu" {
  command = plan

  variables {
    profile = "staging"
  }

  assert {
    condition     = !module.trail.multi_region && !module.trail.global_service_events
    error_message = "the trail records its own region only"
  }
}

run "the_region_in_us_east_1_records_the_global_services" {
  command = plan

  variables {
    profile                  = "staging"
    region_name              = "mexico"
    role                     = "spoke"
    aws_region               = "us-east-1"
    data_residency           = "MX"
    data_residency_exception = "until the move"
    compliance               = "LeyFederalMX"
  }

  assert {
    condition     = !module.trail.multi_region && module.trail.global_service_events
    error_message = "global services are recorded in us-east-1, without the events of other regions"
  }
}

run "a_region_may_be_asked_to_record_all_regions" {
  command = plan

  variables {
    profile            = "staging"
    multi_region_trail = true
  }

  assert {
    condition     = module.trail.multi_region && module.trail.global_service_events
    error_message = "for accounts without a region in us-east-1"
  }
}
