//! The phase `argocd`: Argo CD on the hub, its right to act in each region, each region's cluster known to it.

mod access;
mod install;
mod register;

pub use access::{Grant, access};
pub use install::{Install, install};
pub use register::{Register, register};
