//! Registries by the OCI distribution API: as much of it as a copy needs, with a login by user and password.

mod client;
mod copy;
mod manifest;

pub use client::{Remote, http};
pub use copy::copy;
pub use manifest::Manifest;
