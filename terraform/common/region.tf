# Variables of a region's own file in regions/.

variable "data_residency" {
  description = "Jurisdiction that the data of this region belongs to. Every resource is tagged with it."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["EU", "MX", "US"], var.data_residency)
    error_message = "data_residency: use \"EU\", \"MX\" or \"US\"."
  }
  validation {
    condition = (
      can(regex({ EU = "^eu-", MX = "^mx-", US = "^us-" }[var.data_residency], var.aws_region))
      || var.data_residency_exception != ""
    )
    error_message = "data_residency: ${var.aws_region} is not in ${var.data_residency}. Fix: choose a region that is, or name the approved exception in data_residency_exception."
  }
}

variable "data_residency_exception" {
  description = "Reference of the approval to keep this data outside its jurisdiction. Every resource is tagged with it."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9 +=._:/@-]{0,256}$", var.data_residency_exception))
    error_message = "data_residency_exception: use at most 256 letters, digits, spaces and + - = . _ : / @ (it becomes a tag)."
  }
}

variable "compliance" {
  description = "Law that governs the data of this region. Every resource is tagged with it."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["GDPR", "LeyFederalMX"], var.compliance)
    error_message = "compliance: use \"GDPR\" or \"LeyFederalMX\"."
  }
}

variable "log_retention_days" {
  description = "Days that CloudWatch keeps the logs of this region (default: 365 in production, 30 in staging)."
  type        = number
  default     = null

  validation {
    condition     = var.log_retention_days == null || contains([7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], coalesce(var.log_retention_days, 30))
    error_message = "log_retention_days: CloudWatch accepts 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}

# foundation

variable "vpc_cidr" {
  description = "Address range of the VPC. Must not overlap with that of another region."
  type        = string
  nullable    = false

  validation {
    # The subnets are /24 at fixed offsets, the highest of which is 23, so the block must hold at least 24 of them.
    condition     = can(regex("/(16|17|18|19)$", var.vpc_cidr)) && try(cidrsubnet(var.vpc_cidr, 0, 0) == var.vpc_cidr, false)
    error_message = "vpc_cidr: use a block between /16 and /19 that starts at its first address, such as 10.10.0.0/16."
  }
  validation {
    condition     = can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", var.vpc_cidr)) && !startswith(var.vpc_cidr, "172.20.")
    error_message = "vpc_cidr: use a private range (RFC 1918) outside 172.20.0.0/16, which the cluster's services use."
  }
}

variable "hosted_zone_name" {
  description = "Public Route 53 zone of the domain. It must exist and be delegated."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.hosted_zone_name))
    error_message = "hosted_zone_name: use the zone's name in lowercase without the final dot."
  }
}

variable "single_nat_gateway" {
  description = "Use one NAT gateway for all zones instead of one per zone (default: true in staging, false in production). Cheaper, but the failure of its zone cuts off the others."
  type        = bool
  default     = null
}

variable "interface_endpoints" {
  description = "AWS services that are reached inside the VPC instead of through NAT: SERVICE in com.amazonaws.REGION.SERVICE."
  type        = set(string)
  default     = ["ecr.api", "ecr.dkr", "secretsmanager", "sts"]
  nullable    = false

  validation {
    condition     = alltrue([for service in var.interface_endpoints : can(regex("^[a-z0-9][a-z0-9.-]*$", service)) && service != "s3"])
    error_message = "interface_endpoints: use service names such as ecr.api. Leave out s3, which has a gateway endpoint already."
  }
}

# cluster

variable "administrator_arns" {
  description = "IAM users and roles that administer the cluster: all of them, with those that deploy. Without a list it is the one that deploys, and another one that deploys is refused."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.administrator_arns : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(user|role)/.+$", arn))])
    error_message = "administrator_arns: use ARNs of IAM users or roles (of the role itself, not of an assumed-role session)."
  }
}

variable "cluster_endpoint_public_access_cidrs" {
  description = "Address ranges outside the VPC that may reach the Kubernetes API: the egress addresses of operators and CI. The hub's NAT addresses are added automatically."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.cluster_endpoint_public_access_cidrs) > 0 && alltrue([for cidr in var.cluster_endpoint_public_access_cidrs : can(cidrnetmask(cidr))])
    error_message = "cluster_endpoint_public_access_cidrs: use at least one IPv4 block, such as 192.0.2.10/32."
  }
  validation {
    condition     = alltrue([for cidr in var.cluster_endpoint_public_access_cidrs : try(tonumber(split("/", cidr)[1]) >= 16, false)])
    error_message = "cluster_endpoint_public_access_cidrs: use the egress addresses themselves. A block larger than /16 protects nothing."
  }
}

variable "kubernetes_version" {
  description = "Kubernetes minor version of the cluster. addon_versions must match it."
  type        = string
  default     = "1.35"
  nullable    = false

  validation {
    condition     = can(regex("^1\\.(3[3-9]|[4-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version: use a minor version from 1.33 on, such as 1.35."
  }
}

variable "cluster_support_type" {
  description = "What EKS does at the end of kubernetes_version's standard support. STANDARD: it upgrades the cluster to the next version. EXTENDED: it keeps the version for another year and charges six times the price."
  type        = string
  default     = "STANDARD"
  nullable    = false

  validation {
    condition     = contains(["STANDARD", "EXTENDED"], var.cluster_support_type)
    error_message = "cluster_support_type: use \"STANDARD\" or \"EXTENDED\"."
  }
}

variable "node_release_version" {
  description = "Release of the nodes' image, such as 1.35.0-20251112; EKS refuses an older one than the nodes have. Default in staging: the release that AWS recommends for kubernetes_version, so that security patches arrive with the next run. Default in production: the release that the nodes have. A newer recommendation is reported as a warning."
  type        = string
  default     = null

  validation {
    condition     = var.node_release_version == null || can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+-[0-9]{8}$", var.node_release_version))
    error_message = "node_release_version: use a release such as 1.35.0-20251112."
  }
  # Otherwise an upgrade of Kubernetes would fail after its control plane is upgraded.
  validation {
    condition     = var.node_release_version == null ? true : startswith(var.node_release_version, "${var.kubernetes_version}.")
    error_message = "node_release_version: use a release of kubernetes_version, or remove it to take the recommended one."
  }
}

variable "addon_versions" {
  description = "Exact versions of the EKS add-ons. `aws eks describe-addon-versions --kubernetes-version VERSION` lists the compatible ones."
  type = object({
    vpc_cni    = string
    kube_proxy = string
    coredns    = string
    ebs_csi    = string
  })
  default = {
    vpc_cni    = "v1.21.1-eksbuild.3"
    kube_proxy = "v1.35.0-eksbuild.2"
    coredns    = "v1.13.2-eksbuild.1"
    ebs_csi    = "v1.57.1-eksbuild.1"
  }
  nullable = false

  validation {
    condition     = alltrue([for version in values(var.addon_versions) : can(regex("^v[0-9]+\\.[0-9]+\\.[0-9]+-eksbuild\\.[0-9]+$", version))])
    error_message = "addon_versions: give exact versions such as v1.13.2-eksbuild.1."
  }
}

variable "system_nodes" {
  description = "Nodes for the add-ons and Argo CD (tainted dedicated=system)."
  type = object({
    instance_types = optional(list(string), ["t3.medium"])
    min            = optional(number, 2)
    max            = optional(number, 3)
    desired        = optional(number, 2)
    disk_gib       = optional(number, 30)
  })
  default  = {}
  nullable = false

  validation {
    condition     = 1 <= var.system_nodes.min && var.system_nodes.min <= var.system_nodes.desired && var.system_nodes.desired <= var.system_nodes.max
    error_message = "system_nodes: 1 <= min <= desired <= max must hold."
  }
}

variable "application_nodes" {
  description = "Nodes for the API."
  type = object({
    instance_types = optional(list(string), ["t3.medium"])
    min            = optional(number, 2)
    max            = optional(number, 6)
    desired        = optional(number, 2)
    disk_gib       = optional(number, 30)
  })
  default  = {}
  nullable = false

  validation {
    condition     = 1 <= var.application_nodes.min && var.application_nodes.min <= var.application_nodes.desired && var.application_nodes.desired <= var.application_nodes.max
    error_message = "application_nodes: 1 <= min <= desired <= max must hold."
  }
}

# database

variable "db_instance_class" {
  description = "RDS instance class."
  type        = string
  default     = "db.t4g.micro"
  nullable    = false

  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.[a-z0-9]+$", var.db_instance_class))
    error_message = "db_instance_class: use a class such as db.t4g.micro."
  }
}

variable "db_engine_version" {
  description = "Major version of PostgreSQL. RDS chooses the minor version and updates it in the maintenance window."
  type        = string
  default     = "17"
  nullable    = false

  validation {
    condition     = can(regex("^1[5-9]$", var.db_engine_version))
    error_message = "db_engine_version: use a major version between 15 and 19."
  }
}

variable "db_ca_certificate" {
  description = "Certificate authority of the database's certificate, such as rds-ca-rsa4096-g1 (default: the account's default, initially rds-ca-rsa2048-g1). Clients trust all of them. Setting it modifies the instance once more after its creation."
  type        = string
  default     = null

  validation {
    condition     = var.db_ca_certificate == null || can(regex("^rds-ca-[a-z0-9]+-g[0-9]+$", var.db_ca_certificate))
    error_message = "db_ca_certificate: use an identifier such as rds-ca-rsa2048-g1."
  }
}

variable "db_storage_gib" {
  description = "Initial storage, and the limit up to which it grows automatically, in GiB."
  type = object({
    initial = optional(number, 20)
    max     = optional(number, 50)
  })
  default  = {}
  nullable = false

  validation {
    condition     = 20 <= var.db_storage_gib.initial && var.db_storage_gib.initial < var.db_storage_gib.max
    error_message = "db_storage_gib: 20 <= initial < max must hold."
  }
}

variable "db_backup_retention_days" {
  description = "Number of days for which the database can be restored to any point in time."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.db_backup_retention_days >= 1 && var.db_backup_retention_days <= 35
    error_message = "db_backup_retention_days: use 1 to 35."
  }
}

# audit

variable "multi_region_trail" {
  description = "Whether this region's trail also records the account's other regions and the global services (such as IAM). It copies their events into this region: check first whether their data may be stored here. Needed in one region if none is us-east-1, where AWS records the global services. AWS charges for the second copy of an event."
  type        = bool
  default     = false
  nullable    = false
}
