//! One run at a time in each region, whichever machine it is on.
//!
//! The lease of a region is one object in its state bucket, `PROJECT/REGION/paydeploy/lease.json`. It belongs to the process
//! that has written it last, under a condition:
//!
//! 1. It is taken by a write that requires the object to be missing, or to have the content that was judged (`take`).
//! 2. The holder rewrites it every [`BEAT`], each time under the condition that its own last content is there (`keeper`).
//!    A lease is good for [`SILENCE`] from the moment at which its last successful write was sent.
//! 3. An effect of the holder starts only while its fence (`task::Fence`) is open: no lease is lost, and none has expired.
//!    A renewal that comes late and succeeds proves that no other run has had the lease, and opens it again.
//! 4. Another run takes it over after it has seen the same content for [`SILENCE`] and [`MARGIN`]: then the lease has not
//!    been good for at least the margin, in which calls that had passed the fence end. A holder that this process can prove
//!    dead is not waited for, and one that it can see alive is never replaced. What the children of a dead holder still do
//!    is for `run::others` to find out.
//! 5. It is deleted at the end of the run.
//!
//! No clocks are compared: holder and taker each measure durations, on the clock that also counts while a machine sleeps.
//! A write's answer may be lost, so a refused write is followed by a read: content with our own id is our own.

mod keeper;
#[cfg(test)]
mod model;
mod remove;
mod take;
#[cfg(test)]
mod tests;

use std::{future::Future, time::Duration};

use serde::{Deserialize, Serialize};

pub use keeper::{Leases, Patience, Refused, Waited, named};
pub use remove::{Removed, remove};
pub use take::{Eyes, key, read};

use crate::{
    aws::objects::{Condition, Object, Objects, Written},
    state::{Header, Life, Machine},
    task::{MARGIN, RegionName, Result},
};

/// Between two renewals: far shorter than [`SILENCE`], so that several may fail.
pub const BEAT: Duration = Duration::from_secs(10);
/// How long a lease is good without renewal. A record (`run::mirror`) that is silent for this long has a dead owner.
pub const SILENCE: Duration = Duration::from_secs(60);

/// The content of the object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lease {
    /// Different for each process that has ever held one.
    pub id: String,
    #[serde(flatten)]
    pub holder: Header,
    /// Makes each content different from the one before.
    pub beat: u64,
    /// It only replaces another run's, and is not renewed (`remove`).
    #[serde(default)]
    pub removes: bool,
}

impl Lease {
    /// Whether the holder runs, or has ended, on this machine; unknown for any other.
    pub fn life(&self) -> Life {
        self.holder.machine.life(&Machine::here(), self.holder.pid, self.holder.start)
    }
}

/// Where leases are kept: a bucket, or a test's memory.
pub trait Place: Clone + Send + Sync + 'static {
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Object>>> + Send;
    fn write(
        &self,
        key: &str,
        body: Vec<u8>,
        condition: Condition<'_>,
    ) -> impl Future<Output = Result<Written>> + Send;
    fn delete(&self, key: &str, etag: &str) -> impl Future<Output = Result<()>> + Send;
    /// Whether the place itself exists.
    fn exists(&self) -> impl Future<Output = Result<bool>> + Send;
}

/// Where each region's lease is kept.
pub trait Places: Send + Sync + 'static {
    type Place: Place;

    /// The place, and the object's key; `None` if the region is not configured.
    fn of(&self, region: &RegionName) -> Option<(Self::Place, String)>;
}

impl Place for Objects {
    async fn get(&self, key: &str) -> Result<Option<Object>> {
        Self::get(self, key).await
    }

    async fn write(&self, key: &str, body: Vec<u8>, condition: Condition<'_>) -> Result<Written> {
        Self::write(self, key, body, condition).await
    }

    async fn delete(&self, key: &str, etag: &str) -> Result<()> {
        Self::delete(self, key, etag).await
    }

    async fn exists(&self) -> Result<bool> {
        Self::exists(self).await
    }
}
