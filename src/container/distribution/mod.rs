//! A client of the OCI distribution API: the part that copying an image between registries needs, with basic
//! auth.
//!
//! `oci-client` 0.18 was evaluated as a replacement. It does most of the transfer: basic auth with ECR, blobs
//! streamed with their digest checked, raw manifests, plain HTTP for chosen hosts, rustls with aws-lc-rs. It
//! was not taken because
//!
//! - its errors carry request URLs. After ECR's redirect to S3 that is a presigned URL, which must not reach
//!   a log;
//! - a 401 loses the registry's message, which tells an expired login from other refusals;
//! - by default it sends a streamed blob as one PATCH per piece of at most 4 MiB, while ECR requires parts of
//!   5 MiB. Only its other mode, a single PUT, could work;
//! - it has neither a copy of an index with its images nor retries, so that `manifest.rs`, `copy.rs` and the
//!   mapping of errors would remain. It would replace about 100 lines of `client.rs`;
//! - it adds 29 packages to `Cargo.lock`, among them chrono, oci-spec and strum, and keeps passwords as plain
//!   strings.

mod client;
mod copy;
mod manifest;

pub use client::{Remote, http};
pub use copy::copy;
pub use manifest::Manifest;
