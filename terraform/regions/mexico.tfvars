# Mexico: served from us-east-1. The schema of this file is common/region.tf.

data_residency = "MX"
compliance     = "LeyFederalMX"

# us-east-1 is not in Mexico; AWS's region there is mx-central-1. Until the move, this names the approval.
data_residency_exception = "us-east-1 until the move to mx-central-1"

vpc_cidr         = "10.20.0.0/16"
hosted_zone_name = "payments.example"

# Replace this with the egress addresses of your operators and CI, which reach the Kubernetes API.
# 198.51.100.0/24 is reserved for documentation. The hub's addresses are added automatically.
cluster_endpoint_public_access_cidrs = ["198.51.100.0/24"]

system_nodes      = { min = 2, max = 3, desired = 2 }
application_nodes = { min = 2, max = 6, desired = 2 }

db_instance_class = "db.t4g.micro"
db_storage_gib    = { initial = 20, max = 50 }
