output "name" {
  description = "Name of the group, once its nodes are there."
  value       = aws_eks_node_group.this.node_group_name
}

output "taints" {
  description = "What keeps other pods off the nodes."
  value       = aws_eks_node_group.this.taint
}
