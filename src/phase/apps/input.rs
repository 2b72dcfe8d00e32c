//! The facts that a release takes from other steps.

use crate::fact;

/// What a region's release needs: the way to the region and to the hub, and what the release consists of.
#[derive(Debug, Clone)]
pub struct ReleaseInput {
    /// The way to the region's cluster.
    pub access: fact::Access,
    pub hub_access: fact::Access,
    pub preflight: fact::Preflight,
    pub registered: fact::Registered,
    pub foundation: fact::Foundation,
    pub image: fact::Image,
    pub secrets: fact::Secrets,
    pub database: fact::Database,
    pub certificate: fact::Certificate,
}
