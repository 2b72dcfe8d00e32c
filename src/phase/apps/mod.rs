//! The phase `apps`: what the application in a region is meant to be, and that it is so.

mod manifests;
mod release;

pub use manifests::{Manifests, manifests};
pub use release::{Needs, Release, release};
