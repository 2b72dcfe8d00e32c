output "cluster_name" {
  description = "Name of the cluster."
  value       = module.cluster.name
}

output "cluster_arn" {
  description = "ARN of the cluster."
  value       = module.cluster.arn
}

output "cluster_endpoint" {
  description = "URL of the Kubernetes API."
  value       = module.cluster.endpoint
}

output "cluster_ca" {
  description = "Certificate authority of the Kubernetes API, as base64-encoded PEM."
  value       = module.cluster.certificate_authority
}

output "oidc_issuer" {
  description = "URL of the issuer of the service accounts' tokens."
  value       = module.cluster.oidc_issuer
}

output "oidc_provider_arn" {
  description = "ARN of the IAM OIDC provider for the issuer."
  value       = module.cluster.oidc_provider_arn
}

output "node_role_arn" {
  description = "ARN of the IAM role of the nodes."
  value       = aws_iam_role.node.arn
}

output "external_secrets_role_arn" {
  description = "ARN of the IAM role of External Secrets."
  value       = module.external_secrets_role.arn
}

output "external_dns_role_arn" {
  description = "ARN of the IAM role of external-dns."
  value       = module.external_dns_role.arn
}

output "lb_controller_role_arn" {
  description = "ARN of the IAM role of the AWS Load Balancer Controller."
  value       = module.lb_controller_role.arn
}

output "ebs_csi_role_arn" {
  description = "ARN of the IAM role of the EBS CSI driver."
  value       = module.ebs_csi_role.arn
}

output "argocd_role_arn" {
  description = "ARN of the IAM role of Argo CD; empty on spokes."
  value       = one(module.argocd_role[*].arn) == null ? "" : module.argocd_role[0].arn
}
