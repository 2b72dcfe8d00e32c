//! Copies an image from one registry to another, bit for bit.
//!
//! 1. Collect the manifest and, if it is an index, all manifests that it leads to.
//! 2. Copy the blobs that the target lacks, a few at a time.
//! 3. Put the manifests, each after those that it names, and the tag last.
//!
//! Invariant: a tag never names an incomplete image, because the registry accepts a manifest only when it has
//! its parts.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};

use super::{
    client::Remote,
    manifest::{Manifest, Part},
};
use crate::{
    container::{Failure, bounded},
    fact::ImageDigest,
    task::{Error, Task},
};

/// A service's image between regions takes seconds; this is far beyond.
const DEADLINE: Duration = Duration::from_mins(20);
/// Blobs that are copied at a time: enough to fill the line, few enough for the temporary disk space.
const AT_ONCE: usize = 3;
/// The limit for a manifest's descendants, so that a malicious or cyclic index ends. An index of all
/// platforms with their attestations has a few dozen.
const MANIFESTS: usize = 100;

/// Copies an image, or an index with its images, and tags it. Parts that the target already has are not sent
/// again.
///
/// # Errors
/// [`Failure::Login`] when either registry refuses the login.
pub async fn copy(
    task: &Task,
    from: &Remote,
    to: &Remote,
    digest: &ImageDigest,
    tag: &str,
) -> Result<(), Failure> {
    let what = format!("copy the image from `{}` to `{}`", from.host(), to.host());
    let copied = bounded(task, DEADLINE, copy_all(task, from, to, digest, tag)).await;
    copied.map_err(|failure| failure.doing(&what))
}

async fn copy_all(
    task: &Task,
    from: &Remote,
    to: &Remote,
    digest: &ImageDigest,
    tag: &str,
) -> Result<(), Failure> {
    let manifests = collect(from, digest).await?;
    let blobs: Vec<&Part> = manifests.iter().flat_map(|manifest| &manifest.blobs).collect();
    let (total, done) = (u32::try_from(blobs.len()).unwrap_or(u32::MAX), AtomicU32::new(0));
    let report =
        |done: u32| task.count(done, total, format!("copying from {} to {}", from.host(), to.host()));
    report(0);
    stream::iter(blobs)
        .map(Ok)
        .try_for_each_concurrent(AT_ONCE, async |blob| {
            copy_blob(from, to, blob).await?;
            report(done.fetch_add(1, Ordering::Relaxed) + 1);
            Ok::<(), Failure>(())
        })
        .await?;
    // In reverse, because a registry accepts an index only after the manifests that it names.
    for manifest in manifests.iter().skip(1).rev() {
        to.put_manifest(&manifest.digest.0, manifest).await?;
    }
    to.put_manifest(tag, &manifests[0]).await
}

/// The requested manifest, followed by all that it leads to, each after the one that names it.
async fn collect(from: &Remote, digest: &ImageDigest) -> Result<Vec<Manifest>, Failure> {
    let mut found = vec![from.manifest(digest).await?];
    let mut next = 0;
    while next < found.len() {
        for child in found[next].children.clone() {
            if found.len() == MANIFESTS {
                return Err(
                    Error::permanent(format!("{digest} leads to more than {MANIFESTS} manifests")).into()
                );
            }
            found.push(from.manifest(&child.digest).await?);
        }
        next += 1;
    }
    Ok(found)
}

async fn copy_blob(from: &Remote, to: &Remote, blob: &Part) -> Result<(), Failure> {
    if to.has_blob(blob).await? {
        return Ok(());
    }
    let content = from.blob(blob).await?;
    to.put_blob(blob, content).await
}
