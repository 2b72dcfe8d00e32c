# What the region's foundation hands on. Stacks read each other in their own region only.
data "terraform_remote_state" "foundation" {
  backend = "s3"

  config = {
    bucket = var.state_bucket
    key    = "${var.project}/${var.region_name}/foundation.tfstate"
    region = var.aws_region
  }
}

locals {
  foundation = data.terraform_remote_state.foundation.outputs
}
