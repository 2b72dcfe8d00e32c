//! The phase `apps`: releases the application in a region, and waits until users reach it.

mod annotations;
mod application;
mod balancer;
mod dns;
mod endpoint;
mod history;
mod input;
mod manifests;
mod release;
mod sync;
mod sync_state;
mod teardown;
mod workload;

pub use annotations::{LABEL, PREFIX};
pub use history::any_healthy;
pub use input::ReleaseInput;
pub use manifests::{Manifests, manifests};
pub use release::{Release, release};

use crate::kubernetes::argo_cd::NAMESPACE;

/// The field manager of a release, which owns its annotations and its label and nothing else.
const MANAGER: &str = "paydeploy-release";
