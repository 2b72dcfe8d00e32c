//! What a step holds or creates outside of this machine, recorded before it exists.
//!
//! A claim is the proof of ownership after a crash. It names one object so exactly that nobody else's can be meant: the
//! id of a lock that paydeploy itself has chosen, the revision of a release that only this step was going to write. It
//! holds no secret. Who made it is in the header of the journal or record that it stands in. Child processes are
//! recorded likewise, as `child-started`.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Claim {
    /// The lock of a Terraform state, with the id that is written into it.
    StateLock { bucket: String, key: String, id: String },
    /// A `terraform apply` on a state, and when it started, in RFC 3339. Terraform saves its state only every 20 s and
    /// at its end, so what it created may be in no state.
    Apply { bucket: String, key: String, since: String },
    /// The revision of a Helm release that Helm was about to write.
    /// Helm writes the mark into the revision's labels, except at a rollback.
    Release { cluster: String, namespace: String, release: String, revision: u32, mark: Option<String> },
    /// A Helm release that is being uninstalled.
    Uninstall { cluster: String, namespace: String, release: String },
    /// An image on its way to a registry. A registry forgets an unfinished upload by itself.
    Upload { repository: String, tag: String },
    /// The Application by which a region's registration is tested.
    Probe { application: String },
    /// A key whose deletion is cancelled, by its ARN. KMS leaves it disabled, and takes no tag before that.
    Rescue { key: String },
}

impl Claim {
    /// Whether the claim stays open when its step is repaired: what it names is settled by the step's next effect.
    pub fn outlives_repair(&self) -> bool {
        matches!(self, Self::Apply { .. })
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StateLock { bucket, key, id } => write!(f, "lock {id} of s3://{bucket}/{key}"),
            Self::Apply { bucket, key, since } => write!(f, "apply on s3://{bucket}/{key} since {since}"),
            Self::Release { cluster, namespace, release, revision, .. } => {
                write!(f, "revision {revision} of release {namespace}/{release} in {cluster}")
            }
            Self::Uninstall { cluster, namespace, release } => {
                write!(f, "removal of release {namespace}/{release} in {cluster}")
            }
            Self::Upload { repository, tag } => write!(f, "upload of {repository}:{tag}"),
            Self::Probe { application } => write!(f, "Application {application}"),
            Self::Rescue { key } => write!(f, "rescue of key {key}"),
        }
    }
}

/// The open claims of one step: those of earlier runs that are proved dead, and its own.
#[derive(Debug, Clone, Default)]
pub struct Claims(Arc<Mutex<BTreeSet<Claim>>>);

impl Claims {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<Claim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn open(&self) -> Vec<Claim> {
        self.lock().iter().cloned().collect()
    }

    /// Adds a claim that is already recorded.
    pub fn insert(&self, claim: Claim) {
        self.lock().insert(claim);
    }

    pub(super) fn remove(&self, claim: &Claim) {
        self.lock().remove(claim);
    }
}
