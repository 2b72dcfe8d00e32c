//! The names of the Terraform stacks: folders below `terraform.stacks`, and the names of their states.

pub const FOUNDATION: &str = "foundation";
pub const CLUSTER: &str = "cluster";
pub const DATABASE: &str = "database";
pub const AUDIT: &str = "audit";

/// All stacks of a region.
pub const ALL: [&str; 4] = [FOUNDATION, CLUSTER, DATABASE, AUDIT];
