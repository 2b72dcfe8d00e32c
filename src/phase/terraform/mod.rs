//! The phase `terraform`: per region a state bucket, four stacks, and the wait for the certificate.

mod certificate;
mod changes;
mod command;
mod data_key;
mod deletion;
mod diagnosis;
mod folder;
mod judge;
mod kind;
mod lock;
mod message;
mod orphans;
mod progress;
mod stack;
mod state_bucket;
mod unlock;

use crate::{
    config::{Config, Region},
    step::{Phase, StepId},
};

pub use certificate::Certificate;
pub use kind::{Audit, Cluster, ClusterInput, Database, Foundation, Kind};
pub use message::readable;
pub use stack::Stack;
pub use state_bucket::StateBucket;

/// The bucket that holds the region's Terraform state.
pub fn state_bucket(_config: &Config, region: &Region) -> StateBucket {
    StateBucket::new(region)
}

/// Whether a step is that of a [`state_bucket`].
pub fn is_state_bucket(step: &StepId) -> bool {
    step.phase == Phase::Terraform && step.part.as_deref() == Some("state")
}

/// Network, keys, registry, secrets and the certificate's request: the base of all other stacks.
pub fn foundation(_config: &Config, region: &Region) -> Stack<Foundation> {
    Stack::new(region)
}

/// EKS, its nodes and roles.
pub fn cluster(_config: &Config, region: &Region) -> Stack<Cluster> {
    Stack::new(region)
}

/// The database and its proxy.
pub fn database(_config: &Config, region: &Region) -> Stack<Database> {
    Stack::new(region)
}

/// Trail and flow logs.
pub fn audit(_config: &Config, region: &Region) -> Stack<Audit> {
    Stack::new(region)
}

/// The wait until the region's certificate is issued.
pub fn certificate(_config: &Config, region: &Region) -> Certificate {
    Certificate::new(region)
}
