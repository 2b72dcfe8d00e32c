//! Kubernetes: a client for each region's API server, objects that are applied and checked, Helm releases.

mod admission;
pub mod argo_cd;
mod bearer;
mod client;
mod error;
mod explain;
pub mod helm;
pub mod kubeconfig;
pub mod namespace;
mod object;
mod proxy;
pub mod ready;
#[cfg(test)]
pub mod testing;

pub use client::{connect, find};
pub use error::classify;
pub use explain::{pod_trouble, pods};
pub use object::{By, MANAGER, apply, delete, difference, documents, dry_run, kind, title};
pub use proxy::get_from_pod;
