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

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        net::SocketAddr,
        sync::{
            Arc, Mutex,
            atomic::{AtomicU32, Ordering},
        },
    };

    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use bytes::Bytes;
    use secrecy::SecretString;

    use super::{super::manifest::sha256, Manifest, Remote, copy};
    use crate::{
        container::{Login, with_login},
        task::testing,
        testing::{Request, Response, serve},
    };

    const TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

    /// What a registry stores, by digest or tag, and its open uploads.
    #[derive(Default)]
    struct Registry {
        blobs: BTreeMap<String, Vec<u8>>,
        manifests: BTreeMap<String, Vec<u8>>,
        uploads: BTreeMap<String, Vec<u8>>,
        /// After one layer this password is refused.
        expiring: Option<&'static str>,
        refused: u32,
    }

    impl Registry {
        fn respond(&mut self, request: &Request) -> Response {
            if self.is_refused(request) {
                self.refused += 1;
                let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
                return Response::new(401, body);
            }
            let (path, query) = request.path.split_once('?').unwrap_or((request.path.as_str(), ""));
            let name = path.strip_prefix("/v2/api/").unwrap();
            let stored = |found: Option<&Vec<u8>>| match found {
                Some(bytes) => Response::new(200, bytes.clone()).with("content-type", TYPE),
                None => Response::new(404, ""),
            };
            match (request.method.as_str(), name.split_once('/').unwrap()) {
                ("GET", ("manifests", name)) => stored(self.manifests.get(name)),
                ("PUT", ("manifests", name)) => {
                    self.manifests.insert(name.to_owned(), request.body.clone());
                    Response::new(201, "")
                }
                ("POST", ("blobs", "uploads/")) => {
                    let path = format!("{path}{}", self.uploads.len());
                    self.uploads.insert(path.clone(), Vec::new());
                    Response::new(202, "").with("location", path)
                }
                ("PATCH", _) => {
                    self.uploads.insert(path.to_owned(), request.body.clone());
                    Response::new(202, "").with("location", path)
                }
                ("PUT", _) => {
                    let digest = query.strip_prefix("digest=").unwrap().replace("%3A", ":");
                    let bytes = self.uploads[path].clone();
                    assert_eq!(sha256(&bytes).0, digest);
                    self.blobs.insert(digest, bytes);
                    Response::new(201, "")
                }
                // To HEAD, the body's absence would have to be explained; the client needs only the status.
                ("HEAD", (_, digest)) => {
                    Response::new(if self.blobs.contains_key(digest) { 200 } else { 404 }, "")
                }
                (_, (_, digest)) => stored(self.blobs.get(digest)),
            }
        }

        fn is_refused(&self, request: &Request) -> bool {
            let Some(expiring) = self.expiring else { return false };
            let login = format!("Basic {}", BASE64_STANDARD.encode(format!("AWS:{expiring}")));
            request.headers["authorization"] == login && !self.blobs.is_empty()
        }
    }

    async fn start(registry: Registry) -> (Arc<Mutex<Registry>>, SocketAddr) {
        let registry = Arc::new(Mutex::new(registry));
        let served = Arc::clone(&registry);
        let address = serve(move |request| served.lock().unwrap().respond(request)).await;
        (registry, address)
    }

    fn remote(address: SocketAddr, password: &str) -> Remote {
        let login = Login {
            endpoint: format!("http://{address}").parse().unwrap(),
            user: "AWS".to_owned(),
            password: SecretString::from(password),
        };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Remote::new(http, &format!("{address}/api").parse().unwrap(), login).unwrap()
    }

    /// An image of a configuration and five layers: more than are copied at a time.
    fn image() -> (Registry, Manifest) {
        let mut registry = Registry::default();
        let parts: Vec<String> = (0..6)
            .map(|number| {
                let bytes = format!("layer {number}").into_bytes();
                let digest = sha256(&bytes).0;
                let part = format!(r#"{{"digest": "{digest}", "size": {}}}"#, bytes.len());
                registry.blobs.insert(digest, bytes);
                part
            })
            .collect();
        let (config, layers) = (&parts[0], parts[1..].join(","));
        let text = format!(
            r#"{{"schemaVersion": 2, "mediaType": "{TYPE}", "config": {config}, "layers": [{layers}]}}"#
        );
        let manifest = Manifest::parse(Bytes::from(text.clone()), None).unwrap();
        registry.manifests.insert(manifest.digest.0.clone(), text.into_bytes());
        (registry, manifest)
    }

    #[tokio::test]
    async fn a_login_that_expires_between_two_layers_is_renewed_and_the_copy_is_completed() {
        let folder = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(folder.path());
        let (source, manifest) = image();
        let blobs = source.blobs.clone();
        let (_, from) = start(source).await;
        let (target, to) = start(Registry { expiring: Some("first"), ..Registry::default() }).await;

        let logins = AtomicU32::new(0);
        let login = || {
            let password = ["first", "second"][logins.fetch_add(1, Ordering::Relaxed) as usize];
            std::future::ready(Ok(password))
        };
        let work = |password| {
            let (from, to) = (remote(from, password), remote(to, password));
            let (task, digest) = (&task, &manifest.digest);
            async move { copy(task, &from, &to, digest, "v1").await }
        };
        with_login(login, work).await.unwrap();

        let target = target.lock().unwrap();
        assert!(target.refused > 0, "the first login was refused in the middle of the copy");
        assert_eq!(logins.into_inner(), 2);
        assert_eq!(target.blobs, blobs);
        assert_eq!(target.manifests["v1"], manifest.bytes);
    }
}
