output "name" {
  description = "Name of the cluster."
  value       = aws_eks_cluster.this.name
}

output "arn" {
  description = "ARN of the cluster."
  value       = aws_eks_cluster.this.arn
}

output "endpoint" {
  description = "URL of the API."
  value       = aws_eks_cluster.this.endpoint
}

output "certificate_authority" {
  description = "Certificate authority of the API, as base64-encoded PEM."
  value       = aws_eks_cluster.this.certificate_authority[0].data
}

output "oidc_issuer" {
  description = "URL of the issuer of the service accounts' tokens."
  value       = aws_eks_cluster.this.identity[0].oidc[0].issuer
}

output "oidc_provider_arn" {
  description = "ARN of the IAM OIDC provider for the issuer."
  value       = aws_iam_openid_connect_provider.this.arn
}

output "administrator_arns" {
  description = "ARNs of the IAM users and roles that administer the cluster."
  value       = keys(aws_eks_access_entry.administrator)
}

output "public_access_cidrs" {
  description = "Address ranges outside the VPC that may reach the Kubernetes API."
  value       = aws_eks_cluster.this.vpc_config[0].public_access_cidrs
}
