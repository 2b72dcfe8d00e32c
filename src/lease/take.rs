//! Takes a lease that is free, that a dead run holds, or that has been silent for long enough.

use std::{collections::BTreeSet, time::Duration};

use super::{Lease, MARGIN, Place, SILENCE};
use crate::{
    aws::objects::{Condition, Object, Written},
    state::{Header, Life, Machine},
    task::{Error, ErrorExt as _, RegionName, Result, RunId},
};

/// How many times a lease that changes between a read and a write is read again: more changes than holders make.
const ROUNDS: u32 = 5;

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
#[derive(Debug, Default)]
pub struct Watch {
    /// Its content's mark, and since when it has been the same.
    seen: Option<(String, Duration)>,
    /// It has changed while it was watched, so it has a holder that lives.
    pub is_alive: bool,
}

impl Watch {
    /// How long the content has been the same for certain: from the end of the read that first showed it to the start of
    /// this one. A read may take as long as its machine sleeps.
    fn silence(&mut self, etag: &str, started: Duration, ended: Duration) -> Duration {
        match &self.seen {
            Some((seen, since)) if seen == etag => started.saturating_sub(*since),
            seen => {
                self.is_alive |= seen.is_some();
                self.seen = Some((etag.to_owned(), ended));
                Duration::ZERO
            }
        }
    }
}

/// A lease that this process holds.
#[derive(Debug, Clone)]
pub struct Grip {
    pub etag: String,
    pub beat: u64,
    /// Until when it is good.
    pub until: Duration,
}

#[derive(Debug)]
pub enum Answer {
    /// Taken. The holder that was silent for too long, if it was taken from one.
    Taken(Grip, Option<Header>),
    /// Another run holds it, whose content has been the same for this long.
    Busy(Lease, Duration),
    /// There is no bucket yet, so no other run acts in the region.
    NoBucket,
}

/// What a lease is to a taker.
pub enum Judged {
    /// To be taken by a write with this condition; the silent holder from whom.
    Free(Option<String>, Option<Header>),
    Busy(Lease, Duration),
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
        return Ok(if place.exists().await? { Judged::Free(None, None) } else { Judged::NoBucket });
    };
    if lease.id == ours.id {
        return Ok(Judged::Free(Some(object.etag), None));
    }
    let silence = watch.silence(&object.etag, started, ended);
    match eyes.life(&lease.holder) {
        Life::Dead => Ok(Judged::Free(Some(object.etag), None)),
        // A process that is stopped is silent too. Its children may act, and it goes on when it is continued.
        Life::Alive => {
            watch.is_alive = true;
            Ok(Judged::Busy(lease, silence))
        }
        Life::Unknown if silence < SILENCE + MARGIN => Ok(Judged::Busy(lease, silence)),
        Life::Unknown => Ok(Judged::Free(Some(object.etag), Some(lease.holder))),
    }
}

/// One attempt. `ours` is what this process writes.
pub async fn attempt(
    place: &impl Place,
    key: &str,
    ours: &Lease,
    eyes: &Eyes,
    watch: &mut Watch,
) -> Result<Answer> {
    for _ in 0..ROUNDS {
        let (etag, from) = match judge(place, key, ours, eyes, watch).await? {
            Judged::Free(etag, from) => (etag, from),
            Judged::Busy(lease, silence) => return Ok(Answer::Busy(lease, silence)),
            Judged::NoBucket => return Ok(Answer::NoBucket),
        };
        let condition = etag.as_deref().map_or(Condition::Missing, Condition::Is);
        let sent = (eyes.clock)();
        match place.write(key, serde_json::to_vec(ours)?, condition).await? {
            Written::Done(etag) => {
                return Ok(Answer::Taken(Grip { etag, beat: ours.beat, until: sent + SILENCE }, from));
            }
            Written::NoBucket => return Ok(Answer::NoBucket),
            // Another run was faster, or an attempt of ours whose answer was lost.
            Written::Refused => {}
        }
    }
    Err(Error::transient(format!("the lease `{key}` keeps changing")))
}
