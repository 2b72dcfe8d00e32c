variable "deployer_arn" {
  description = "ARN of the IAM user or role that deploys. An access entry makes it an administrator of the cluster."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(user|role)/.+$", var.deployer_arn))
    error_message = "deployer_arn: use the ARN of an IAM user or role (of the role itself, not of an assumed-role session)."
  }
}

variable "hub_nat_cidrs" {
  description = "Addresses from which the hub's Argo CD reaches this region's API; empty on the hub."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.hub_nat_cidrs : can(cidrnetmask(cidr)) && endswith(cidr, "/32")])
    error_message = "hub_nat_cidrs: use single addresses, such as 192.0.2.10/32."
  }
  validation {
    condition     = var.role == "spoke" || length(var.hub_nat_cidrs) == 0
    error_message = "hub_nat_cidrs: must be empty on the hub, which reaches its own API inside the cluster."
  }
}

variable "running_node_releases" {
  description = "The image release of each node group that must not change by itself. paydeploy sets it in production."
  type        = map(string)
  default     = {}
  nullable    = false
}
