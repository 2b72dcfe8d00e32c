//! Finds and deletes what no stack manages: what controllers, nodes and AWS itself created for a cluster or in its
//! network, and left behind. It is found by its tags, whatever has been deleted before.
//!
//! - [`cluster`], once the cluster is deleted: load balancers, DNS records, the log group, volumes.
//! - [`network`], before the network is deleted: endpoints of GuardDuty, network interfaces, security groups. What
//!   belongs to others there is reported and never deleted.
//! - [`log_group`], before the cluster is created: the log group that outlived the last one.

mod cluster;
mod logs;
mod network;
mod plan;

pub use cluster::cluster;
pub use logs::unmanaged as log_group;
pub use network::network;

use super::Aws;
use crate::task::Task;

/// Whose leftovers are looked for.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub task: &'a Task,
    pub aws: &'a Aws,
    pub aws_region: &'a str,
    /// The values of the tags `Project` and `Region`.
    pub project: &'a str,
    pub region: &'a str,
    /// The region's EKS cluster.
    pub cluster: &'a str,
    /// The application's host name.
    pub domain: &'a str,
    /// Whether log groups and volumes, which hold data, may be deleted.
    pub logs: bool,
    pub volumes: bool,
}
