data "aws_partition" "current" {}

data "aws_caller_identity" "current" {
  lifecycle {
    postcondition {
      condition     = strcontains(var.state_bucket, self.account_id)
      error_message = "The credentials belong to account ${self.account_id}, but the state bucket ${var.state_bucket} belongs to another account. Fix: use credentials of the account in the bucket's name."
    }
  }
}

locals {
  name       = "${var.project}-${var.region_name}"
  partition  = data.aws_partition.current.partition
  account_id = data.aws_caller_identity.current.account_id

  # In production, resources that hold data are protected unless the protection was lifted by name.
  production = var.profile == "production"
  protected = {
    for name in ["database", "final-snapshot", "secrets", "registry", "audit-log"] :
    name => local.production && !contains(var.lifted_protections, name)
  }

  log_retention_days = coalesce(var.log_retention_days, local.production ? 365 : 30)

  tags = merge(
    {
      Project       = var.project
      Environment   = var.profile
      Region        = var.region_name
      ManagedBy     = "terraform"
      DataResidency = var.data_residency
      Compliance    = var.compliance
    },
    var.data_residency_exception == "" ? {} : { DataResidencyException = var.data_residency_exception },
  )
}
