//! The phase `argocd`: Argo CD on the hub, its access to each region, and each region's registration.

mod access;
mod entry;
mod git;
mod install;
mod kinds;
mod probe;
mod projects;
mod register;

pub use access::{Grant, GrantInput, access};
pub use install::{Install, install};
pub use register::{Register, RegisterInput, register};

use crate::kubernetes::argo_cd::NAMESPACE;

/// The Kubernetes group that a spoke's access entry gives to Argo CD's role.
const GROUP: &str = "paydeploy:argocd";

/// The name of Argo CD's release, and so the prefix of its objects. The IAM role trusts its service accounts by name.
const RELEASE: &str = "argocd";
