//! What earlier runs left open, asked for before a step's first effect.

use futures::future::BoxFuture;

use crate::step::{Context, Result};
use crate::task::Claim;

/// Knows what earlier runs left open.
pub trait Gate: Send + Sync {
    /// Waits for those that may still act in the step's region, then returns what dead runs left open of the step.
    /// Each claim is returned once; the step keeps it until it is repaired. May be dropped at any time.
    fn pass<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Vec<Claim>>>;
}

/// There were no earlier runs.
pub struct Open;

impl Gate for Open {
    fn pass<'a>(&'a self, _cx: &'a Context) -> BoxFuture<'a, Result<Vec<Claim>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
