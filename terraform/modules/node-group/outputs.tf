output "name" {
  description = "Name of the node group, available once its nodes exist."
  value       = aws_eks_node_group.this.node_group_name
}

output "taints" {
  description = "Taints of the nodes."
  value       = aws_eks_node_group.this.taint
}

output "security_group_ids" {
  description = "Security groups of the nodes and of their pods."
  value       = aws_launch_template.this.vpc_security_group_ids
}

output "release_version" {
  description = "Release of the nodes' image."
  value       = aws_eks_node_group.this.release_version
}
