# Spain: eu-south-2. The schema of this file is common/region.tf.

data_residency = "EU"
compliance     = "GDPR"

vpc_cidr         = "10.10.0.0/16"
hosted_zone_name = "payments.example"

# Replace this with the egress addresses of your operators and CI, which reach the Kubernetes API.
# 198.51.100.0/24 is reserved for documentation.
cluster_endpoint_public_access_cidrs = ["198.51.100.0/24"]

system_nodes      = { min = 2, max = 3, desired = 2 }
application_nodes = { min = 2, max = 6, desired = 2 }

db_instance_class = "db.t4g.micro"
db_storage_gib    = { initial = 20, max = 50 }
