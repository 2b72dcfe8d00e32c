//! Kubernetes: a client for each region's API server, objects that are applied and checked, Helm releases.

mod admission;
pub mod argo_cd;
mod balanced;
mod bearer;
mod client;
mod error;
mod explain;
pub mod helm;
pub mod kubeconfig;
pub mod namespace;
mod object;
mod proxy;
mod reach;
pub mod ready;
#[cfg(test)]
pub mod testing;

pub use balanced::Balanced;
pub use client::connect;
use client::find;
pub use error::classify;
pub use explain::{pod_trouble, pods};
pub use object::{By, MANAGER, apply, delete, difference, documents, dry_run, kind, strip_finalizers, title};
pub use proxy::get_from_pod;
pub use reach::{Open, Reach, Reached};
