# Argo CD's identity, on the hub only. The role has no permissions in AWS. Access entries of the spokes name it.
module "argocd_role" {
  source = "../../modules/irsa"

  count = var.role == "hub" ? 1 : 0

  name              = "${local.name}-argocd"
  description       = "Identity of Argo CD towards the clusters it deploys to"
  oidc_issuer       = module.cluster.oidc_issuer
  oidc_provider_arn = module.cluster.oidc_provider_arn

  service_accounts = [
    for component in ["application-controller", "server", "applicationset-controller"] :
    { namespace = "argocd", name = "argocd-${component}" }
  ]
}
