//! What is asked before a step's effects: whether other runs let it act, and what dead ones left open.

use futures::future::BoxFuture;

use crate::step::{Context, Result};
use crate::task::Claim;

/// Knows other runs.
pub trait Gate: Send + Sync {
    /// Waits for the runs that may still act in the step's region, then returns what dead ones left open of the step.
    /// Each claim is returned once; the step keeps it until it is repaired. May be dropped at any time.
    fn pass<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Vec<Claim>>>;

    /// Waits for runs that change what all regions share. Returns whether there was one, so that what the step has read
    /// may be outdated. May be dropped at any time.
    fn share<'a>(&'a self, _cx: &'a Context) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async { Ok(false) })
    }

    /// A step is about to start an effect.
    fn before_effect<'a>(&'a self, _cx: &'a Context) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// A step that may share has ended, however it did.
    fn end_sharing<'a>(&'a self, _cx: &'a Context) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

/// There are no other runs.
pub struct Open;

impl Gate for Open {
    fn pass<'a>(&'a self, _cx: &'a Context) -> BoxFuture<'a, Result<Vec<Claim>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
