# A node group: its size, the pods it accepts, and the protection of its instances.

mock_provider "aws" {}

variables {
  name               = "system"
  cluster_name       = "payments-spain"
  kubernetes_version = "1.35"
  release_version    = "1.35.0-20251112"
  role_arn           = "arn:aws:iam::123456789012:role/node"
  subnet_ids         = ["subnet-0", "subnet-1", "subnet-2"]
  security_group_ids = ["sg-0"]
  kms_key_arn        = "arn:aws:kms:eu-south-2:123456789012:key/0"
  instance_types     = ["t3.medium"]
  size               = { min = 2, max = 3, desired = 2 }
  disk_gib           = 30
  labels             = { role = "system" }
  taints             = [{ key = "dedicated", value = "system", effect = "NO_SCHEDULE" }]
  tags               = { Project = "payments", DataResidency = "EU" }
}

run "a_group_has_the_requested_size_version_and_labels" {
  command = plan

  assert {
    condition     = aws_eks_node_group.this.scaling_config[0].min_size == 2 && aws_eks_node_group.this.scaling_config[0].max_size == 3 && aws_eks_node_group.this.scaling_config[0].desired_size == 2
    error_message = "the bounds are the requested ones"
  }
  assert {
    condition     = aws_eks_node_group.this.capacity_type == "ON_DEMAND" && aws_eks_node_group.this.instance_types == tolist(["t3.medium"]) && aws_eks_node_group.this.version == "1.35"
    error_message = "on-demand instances with the cluster's Kubernetes version"
  }
  assert {
    condition     = aws_eks_node_group.this.labels == tomap({ role = "system" }) && [for taint in aws_eks_node_group.this.taint : "${taint.key}=${taint.value}:${taint.effect}"] == ["dedicated=system:NO_SCHEDULE"]
    error_message = "labels and taints are the requested ones"
  }
  assert {
    condition     = aws_eks_node_group.this.update_config[0].max_unavailable == 1
    error_message = "an update replaces one node at a time"
  }
}

run "a_group_without_taints_takes_every_pod" {
  command = plan

  variables {
    name   = "application"
    labels = { role = "application" }
    taints = []
  }

  assert {
    condition     = length(aws_eks_node_group.this.taint) == 0
    error_message = "no taint is added by default"
  }
}

run "instances_are_encrypted_tagged_and_keep_their_credentials" {
  command = plan

  assert {
    condition     = aws_launch_template.this.metadata_options[0].http_tokens == "required" && aws_launch_template.this.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "a pod cannot read the node's credentials"
  }
  assert {
    condition     = aws_launch_template.this.block_device_mappings[0].ebs[0].encrypted == "true" && aws_launch_template.this.block_device_mappings[0].ebs[0].kms_key_id == var.kms_key_arn && aws_launch_template.this.block_device_mappings[0].ebs[0].volume_size == 30
    error_message = "disks are encrypted with the region's key"
  }
  assert {
    condition     = aws_launch_template.this.vpc_security_group_ids == toset(["sg-0"])
    error_message = "the nodes use the region's security group, not one created by EKS"
  }
  assert {
    condition     = { for specification in aws_launch_template.this.tag_specifications : specification.resource_type => join(" ", [specification.tags["Project"], specification.tags["DataResidency"]]) } == { instance = "payments EU", volume = "payments EU", network-interface = "payments EU" }
    error_message = "resources created by Auto Scaling have the common tags"
  }
}
