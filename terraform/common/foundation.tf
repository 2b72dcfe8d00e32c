# The outputs of the region's foundation. A stack never reads the state of another region.
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
