pub mod apps;
pub mod argocd;
pub mod docker;
pub mod helm_deps;
pub mod kubeconfig;
pub mod preflight;
pub mod secrets;
pub mod terraform;
