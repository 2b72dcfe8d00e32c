//! The phase `argocd`: Argo CD on the hub, its right to act in each region, each region's cluster known to it.

mod access;
mod entry;
mod git;
mod install;
mod probe;
mod register;

pub use access::{Grant, GrantInput, access};
pub use install::{Install, install};
pub use register::{Register, RegisterInput, register};

use kube::api::ApiResource;

/// Where Argo CD itself lives on the hub, as its own documentation has it.
const NAMESPACE: &str = "argocd";
/// The Kubernetes group that Argo CD's role has in a spoke.
const GROUP: &str = "paydeploy:argocd";

/// A kind of Argo CD's.
struct Kind(&'static str);

const APPLICATION: Kind = Kind("Application");

impl Kind {
    fn resource(&self) -> ApiResource {
        crate::kubernetes::kind("argoproj.io", "v1alpha1", self.0)
    }
}
