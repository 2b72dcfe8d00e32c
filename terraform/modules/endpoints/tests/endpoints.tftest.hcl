# AWS services that are reached inside the VPC.

mock_provider "aws" {}

variables {
  name              = "payments-spain"
  aws_region        = "eu-south-2"
  vpc_id            = "vpc-0"
  route_table_ids   = ["rtb-0", "rtb-1", "rtb-2"]
  services          = ["ecr.api", "sts"]
  subnet_ids        = ["subnet-0", "subnet-1", "subnet-2"]
  security_group_id = "sg-0"
}

run "services_are_reached_inside_the_vpc" {
  command = plan

  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway" && aws_vpc_endpoint.s3.service_name == "com.amazonaws.eu-south-2.s3" && aws_vpc_endpoint.s3.route_table_ids == toset(["rtb-0", "rtb-1", "rtb-2"])
    error_message = "image layers come from S3 through a free gateway endpoint in every zone"
  }
  assert {
    condition     = toset([for endpoint in values(aws_vpc_endpoint.interface) : endpoint.service_name]) == toset(["com.amazonaws.eu-south-2.ecr.api", "com.amazonaws.eu-south-2.sts"])
    error_message = "each requested service has an endpoint"
  }
  assert {
    condition     = alltrue([for endpoint in values(aws_vpc_endpoint.interface) : endpoint.private_dns_enabled && endpoint.security_group_ids == toset(["sg-0"]) && length(endpoint.subnet_ids) == 3])
    error_message = "the endpoints have the services' usual names, one interface per zone and the given security group"
  }
}
