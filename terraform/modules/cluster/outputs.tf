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
  description = "Certificate authority of the API, PEM in base64."
  value       = aws_eks_cluster.this.certificate_authority[0].data
}

output "oidc_issuer" {
  description = "URL of the issuer of the service accounts' tokens."
  value       = aws_eks_cluster.this.identity[0].oidc[0].issuer
}

output "oidc_provider_arn" {
  description = "IAM's side of the issuer."
  value       = aws_iam_openid_connect_provider.this.arn
}

output "administrator_arns" {
  description = "IAM users and roles with every right in the cluster."
  value       = keys(aws_eks_access_entry.administrator)
}

output "public_access_cidrs" {
  description = "Addresses outside the VPC from which the Kubernetes API is reached."
  value       = aws_eks_cluster.this.vpc_config[0].public_access_cidrs
}
