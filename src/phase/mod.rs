pub mod kubeconfig;
pub mod helm_deps;
pub mod argocd;
pub mod apps;
