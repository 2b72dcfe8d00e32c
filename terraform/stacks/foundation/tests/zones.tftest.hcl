# Which availability zones a region uses.

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["us-east-1d", "us-east-1a", "us-east-1b", "us-east-1c"] }
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

# A mocked certificate has no validation record.
override_module {
  target  = module.certificate
  outputs = { arn = "arn:aws:acm:us-east-1:123456789012:certificate/0" }
}

variables {
  project                              = "payment-latency-api"
  profile                              = "staging"
  region_name                          = "virginia"
  aws_region                           = "us-east-1"
  role                                 = "spoke"
  domain                               = "api-us.payments.example"
  state_bucket                         = "payment-latency-api-tfstate-123456789012-us-east-1"
  data_residency                       = "US"
  compliance                           = "LeyFederalMX"
  vpc_cidr                             = "10.30.0.0/16"
  hosted_zone_name                     = "payments.example"
  cluster_endpoint_public_access_cidrs = ["198.51.100.0/24"]
}

# The zone's name differs between accounts, its id does not.
run "the_zone_of_us_east_1_without_eks_is_left_out" {
  command = plan

  assert {
    condition     = contains(data.aws_availability_zones.this.exclude_zone_ids, "use1-az3")
    error_message = "EKS creates no cluster in use1-az3"
  }
}
