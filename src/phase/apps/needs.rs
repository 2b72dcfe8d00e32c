//! What a release takes from other steps.

use crate::fact;

/// How to reach the region and the hub; what a release is made of; an order (the manifests, the add-ons and,
/// for a new release, the region before this one).
pub type Needs = (
    (fact::Access, fact::Access),
    fact::Preflight,
    fact::Registered,
    fact::Foundation,
    (fact::Image, fact::Secrets),
    fact::Database,
    fact::Certificate,
    (),
);
