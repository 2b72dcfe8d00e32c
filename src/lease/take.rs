//! Whether a lease may be taken: it is free, a dead run holds it, or it has been silent for long enough.

use std::{collections::BTreeSet, time::Duration};

use super::{Lease, MARGIN, Place, SILENCE};
use crate::{
    aws::objects::Object,
    state::{Header, Life, Machine},
    task::{ErrorExt as _, RegionName, Result, RunId},
};

/// The key of a region's lease, beside its Terraform states.
pub fn key(project: &str, region: &RegionName) -> String {
    format!("{project}/{region}/paydeploy/lease.json")
}

/// How other runs are judged, those that hold leases and those that left records.
#[derive(Clone)]
pub struct Eyes {
    pub here: Machine,
    /// Earlier runs of this folder: all have ended.
    pub ended: BTreeSet<RunId>,
    /// Time since the boot, which also passes while the machine sleeps.
    pub clock: fn() -> Duration,
}

impl Eyes {
    pub fn life(&self, holder: &Header) -> Life {
        if self.ended.contains(&holder.run) {
            return Life::Dead;
        }
        holder.machine.life(&self.here, holder.pid, holder.start)
    }
}

/// What one taker has seen of a lease.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// Its content's mark and id, and since when the content has been the same.
    seen: Option<(String, String, Duration)>,
    /// It has changed while it was watched, so it has a holder that lives.
    pub is_alive: bool,
}

impl Watch {
    /// How long the content has been the same for certain: from the end of the read that first showed it to the start of
    /// this one. A read may take as long as its machine sleeps.
    fn silence(&mut self, etag: &str, id: &str, started: Duration, ended: Duration) -> Duration {
        match &self.seen {
            Some((seen, _, since)) if seen == etag => started.saturating_sub(*since),
            seen => {
                // One that another run has taken says nothing about that run yet.
                self.is_alive = seen.as_ref().is_some_and(|(_, seen, _)| seen == id);
                self.seen = Some((etag.to_owned(), id.to_owned(), ended));
                Duration::ZERO
            }
        }
    }
}

/// What a lease is to a taker.
pub enum Judged {
    /// It may be taken by a write that requires this content, or none. `from` is a holder that was silent for too long.
    Free { etag: Option<String>, from: Option<Header> },
    /// Another run holds it, whose content has been the same for this long.
    Busy(Lease, Duration),
    /// No other run acts in the region, as it has no bucket yet.
    NoBucket,
}

/// The content of a region's lease; `None` if it is free.
///
/// # Errors
/// When it cannot be read, or was written by a newer paydeploy.
pub async fn read(place: &impl Place, key: &str) -> Result<Option<(Object, Lease)>> {
    let Some(object) = place.get(key).await? else { return Ok(None) };
    let lease = serde_json::from_slice(&object.body).doing(format!("read the lease `{key}`"));
    let lease = lease.hint("use the newer paydeploy that wrote it")?;
    Ok(Some((object, lease)))
}

/// Reads a lease and judges its holder. Writes nothing.
pub async fn judge(
    place: &impl Place,
    key: &str,
    ours: &Lease,
    eyes: &Eyes,
    watch: &mut Watch,
) -> Result<Judged> {
    let started = (eyes.clock)();
    let found = read(place, key).await?;
    let ended = (eyes.clock)();
    let Some((object, lease)) = found else {
        // A write would fail, and would be in the account's audit trail.
        return Ok(if place.exists().await? {
            Judged::Free { etag: None, from: None }
        } else {
            Judged::NoBucket
        });
    };
    if lease.id == ours.id {
        return Ok(Judged::Free { etag: Some(object.etag), from: None });
    }
    let silence = watch.silence(&object.etag, &lease.id, started, ended);
    match eyes.life(&lease.holder) {
        Life::Dead => Ok(Judged::Free { etag: Some(object.etag), from: None }),
        // A process that is stopped is silent too. Its children may act, and it goes on when it is continued.
        Life::Alive => {
            watch.is_alive = !lease.removes;
            Ok(Judged::Busy(lease, silence))
        }
        Life::Unknown if silence < SILENCE + MARGIN => Ok(Judged::Busy(lease, silence)),
        Life::Unknown => Ok(Judged::Free { etag: Some(object.etag), from: Some(lease.holder) }),
    }
}
