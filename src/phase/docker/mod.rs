//! The phase `docker`: the commit's image, built once, and pushed to every region's registry under one digest.

mod archive;
mod build;
mod lookup;
mod push;
mod recipe;

pub use build::{Build, build};
pub use push::{Push, region};

use crate::fact::Commit;

/// The tag of a commit's image: the whole id, so that no two commits ever share one.
fn tag(commit: &Commit) -> &str {
    &commit.id
}

/// A digest shortened for people.
fn short(digest: &crate::fact::ImageDigest) -> &str {
    digest.0.get(..19).unwrap_or(&digest.0)
}
