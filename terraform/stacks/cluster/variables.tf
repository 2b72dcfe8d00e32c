variable "deployer_arn" {
  description = "IAM user or role that deploys: it gets every right in the cluster, by name and not for having created it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(user|role)/.+$", var.deployer_arn))
    error_message = "deployer_arn: give the ARN of an IAM user or role (of the role itself, not of an assumed-role session)."
  }
}

variable "hub_nat_cidrs" {
  description = "Addresses from which the hub's Argo CD reaches this region's API; empty on the hub."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.hub_nat_cidrs : can(cidrnetmask(cidr)) && endswith(cidr, "/32")])
    error_message = "hub_nat_cidrs: give single addresses, such as 192.0.2.10/32."
  }
  validation {
    condition     = var.role == "spoke" || length(var.hub_nat_cidrs) == 0
    error_message = "hub_nat_cidrs: the hub reaches its own API inside the cluster; leave the list empty there."
  }
}
