//! The leases of one command: taken together, renewed, returned.
//!
//! - All that are asked for together are taken, or none: a run that waits for one holds no other meanwhile, so two runs
//!   never wait for each other. The hub comes first.
//! - A region whose state bucket does not exist yet has no lease. It is taken once the bucket exists.
//! - The hub's lease is lent to steps that change what all regions share, where the hub is not among the run's own
//!   regions: from the first such step until the last has ended, so that runs for different spokes share it.
//! - A caller may drop a take or a return half-way. So regions are remembered as soon as they are tried, and the end of the
//!   command returns whatever is there in its name.
//! - Renewing and returning a lease exclude each other. Otherwise a renewal under way would change the content, and the
//!   deletion, which is conditional, would leave it to be waited for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::join_all;

use super::{
    BEAT, Lease, Place as _, Places, SILENCE,
    take::{self, Eyes, Judged, Watch},
};
use crate::{
    aws::objects::{Condition, Written},
    report,
    state::Header,
    task::{Class, Error, Fence, RegionName, Result, RunId, StepId},
};

/// Between two attempts to take a lease that is held.
const INTERVAL: Duration = Duration::from_secs(2);
/// Between two attempts to renew one, after an error.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a bucket may not answer before the wait for a lease ends.
const OUTAGE: Duration = Duration::from_mins(2);
/// How long steps of other runs may hold the hub: they change a few objects there.
const SHARED: Duration = Duration::from_mins(5);
/// How long a return is tried. After that the next run waits until this one counts as dead.
const RETURN: Duration = Duration::from_secs(15);
/// How long one renewal may take, so that several fit into the time for which a lease is good.
const RENEWAL: Duration = Duration::from_secs(15);
/// How often an expired lease is looked for: where nothing passes the fence, such as while a child runs.
const TICK: Duration = Duration::from_secs(1);

/// How long a living holder is waited for. Whether it lives is found out in any case.
pub type Patience = Duration;

/// Another run holds a lease.
#[derive(Debug, Clone)]
pub struct Refused {
    pub region: RegionName,
    pub holder: Header,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { region, holder } = self;
        write!(f, "region `{region}` is held by {}", named(holder))
    }
}

/// Who holds a lease, in a few words.
pub fn named(Header { run, command, machine, pid, at, .. }: &Header) -> String {
    format!("run {run} (`paydeploy {command}` on {}, process {pid}, since {at:.0})", machine.host)
}

/// What taking several leases came to.
enum Round {
    Taken,
    Busy { region: RegionName, lease: Box<Lease>, silence: Duration },
}

struct Held<P> {
    place: P,
    key: String,
    /// The mark of the content, and which content it is.
    etag: String,
    beat: u64,
}

type Slot<P> = Arc<tokio::sync::Mutex<Option<Held<P>>>>;

pub struct Leases<P: Places> {
    places: P,
    ours: Lease,
    eyes: Eyes,
    fence: Fence,
    held: Mutex<BTreeMap<RegionName, Slot<P::Place>>>,
    /// The regions in whose bucket there may be a lease of ours.
    tried: Mutex<BTreeSet<RegionName>>,
    /// Two steps of a region may ask for its lease at the same time.
    taking: tokio::sync::Mutex<()>,
    /// Holders whose leases were taken over: they are dead.
    dead: Mutex<Vec<Header>>,
    hub: RegionName,
    /// The steps to which the hub's lease is lent.
    lent: tokio::sync::Mutex<BTreeSet<StepId>>,
}

impl<P: Places> Leases<P> {
    /// Holds nothing yet, and renews what it will hold.
    pub fn start(places: P, holder: Header, eyes: Eyes, fence: Fence, hub: RegionName) -> Arc<Self> {
        let ours = Lease { id: RunId::new().to_string(), holder, beat: 0 };
        let leases = Arc::new(Self {
            places,
            ours,
            eyes,
            fence,
            held: Mutex::default(),
            tried: Mutex::default(),
            taking: tokio::sync::Mutex::default(),
            dead: Mutex::default(),
            hub,
            lent: tokio::sync::Mutex::default(),
        });
        // Both end when the leases are dropped.
        let (renewed, watched) = (Arc::downgrade(&leases), Arc::downgrade(&leases));
        tokio::spawn(async move {
            let mut pause = BEAT;
            loop {
                tokio::time::sleep(pause).await;
                let Some(leases) = renewed.upgrade() else { return };
                pause = if leases.renew_all().await { BEAT } else { AGAIN };
            }
        });
        tokio::spawn(async move {
            while watched.upgrade().is_some_and(|leases| leases.fence.pass().is_ok()) {
                tokio::time::sleep(TICK).await;
            }
        });
        leases
    }

    /// Whether a holder was silent for so long that its lease was taken over.
    pub fn has_outlived(&self, holder: &Header) -> bool {
        let dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        // A command may be several runs, one after the other, of one process.
        let process = |one: &Header| (one.machine.clone(), one.pid, one.start);
        dead.iter().any(|one| process(one) == process(holder))
    }

    fn slots(&self) -> Vec<(RegionName, Slot<P::Place>)> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().map(|(region, slot)| (region.clone(), slot.clone())).collect()
    }

    pub(super) fn holds(&self, region: &RegionName) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).contains_key(region)
    }

    /// Takes the leases of these regions, all or none. Waits for a living holder as long as the patience says, and for any
    /// other until it counts as dead. `say` is told for which run. Returns whether it had to wait.
    ///
    /// # Errors
    /// The first lease that another run holds, or why one cannot be read or written.
    pub async fn take(
        &self,
        regions: &[RegionName],
        patience: Patience,
        say: impl Fn(String),
    ) -> Result<Result<bool, Refused>> {
        if regions.iter().all(|region| self.holds(region)) {
            return Ok(Ok(false));
        }
        let _taking = self.taking.lock().await;
        // A run that waits while it holds something may itself be waited for.
        let patience = if self.slots().is_empty() { patience } else { Duration::ZERO };
        self.take_all(regions, patience, say).await
    }

    async fn take_all(
        &self,
        regions: &[RegionName],
        patience: Patience,
        say: impl Fn(String),
    ) -> Result<Result<bool, Refused>> {
        // In one order for all runs, the hub first.
        let mut regions: Vec<&RegionName> = regions.iter().filter(|region| !self.holds(region)).collect();
        regions.sort_by_key(|region| (**region != self.hub, (*region).clone()));
        let mut watches: BTreeMap<&RegionName, Watch> = BTreeMap::new();
        let started = (self.eyes.clock)();
        let mut answered = started;
        let mut has_waited = false;
        loop {
            let (region, lease, silence) = match self.take_once(&regions, &mut watches).await {
                Ok(Round::Taken) => return Ok(Ok(has_waited)),
                Ok(Round::Busy { region, lease, silence }) => (region, lease, silence),
                // What has been seen of the holders is kept: a wait that started over at each error might never end.
                Err(error)
                    if has_waited
                        && error.class == Class::Transient
                        && (self.eyes.clock)().saturating_sub(answered) < OUTAGE =>
                {
                    tokio::time::sleep(INTERVAL).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            answered = (self.eyes.clock)();
            let waited = (self.eyes.clock)().saturating_sub(started);
            let is_alive = watches.get(&region).is_some_and(|watch| watch.is_alive);
            if is_alive && waited >= patience {
                return Ok(Err(Refused { region, holder: lease.holder }));
            }
            let rest = (SILENCE + super::MARGIN).saturating_sub(silence);
            let until = if is_alive {
                "it is running".to_owned()
            } else {
                format!("it counts as dead if it stays silent for {}", report::duration(rest))
            };
            say(format!("waiting for {}, which holds region `{region}`: {until}", named(&lease.holder)));
            has_waited = true;
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn take_once<'a>(
        &self,
        regions: &[&'a RegionName],
        watches: &mut BTreeMap<&'a RegionName, Watch>,
    ) -> Result<Round> {
        // All are read before any is written: a run that waits must not look like a holder.
        let mut free = Vec::new();
        for region in regions {
            let Some((place, key)) = self.places.of(region) else { continue };
            let watch = watches.entry(region).or_default();
            match take::judge(&place, &key, &self.ours, &self.eyes, watch).await? {
                Judged::Free { etag, from } => free.push((*region, place, key, etag, from)),
                Judged::Busy(lease, silence) => {
                    return Ok(Round::Busy { region: (*region).clone(), lease: Box::new(lease), silence });
                }
                Judged::NoBucket => {}
            }
        }
        let content = serde_json::to_vec(&self.ours)?;
        let mut taken = Vec::new();
        for (region, place, key, etag, from) in free {
            self.tried.lock().unwrap_or_else(PoisonError::into_inner).insert(region.clone());
            let condition = etag.as_deref().map_or(Condition::Missing, Condition::Is);
            let sent = (self.eyes.clock)();
            let refused = match place.write(&key, content.clone(), condition).await {
                Ok(Written::Done(etag)) => {
                    self.dead.lock().unwrap_or_else(PoisonError::into_inner).extend(from);
                    self.fence.hold(region, sent + SILENCE);
                    let held = Held { place, key, etag, beat: self.ours.beat };
                    let slot = Arc::new(tokio::sync::Mutex::new(Some(held)));
                    self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(region.clone(), slot);
                    taken.push(region.clone());
                    continue;
                }
                Ok(Written::NoBucket) => continue,
                // Another run was faster, or an attempt of ours whose answer was lost. The next read tells.
                Ok(Written::Refused) => Error::transient(format!("the lease `{key}` has changed")),
                Err(error) => error,
            };
            self.give_back(&taken).await;
            return Err(refused);
        }
        Ok(Round::Taken)
    }

    /// Lends the hub's lease to a step. Returns whether it had to be waited for, so that what the step has read may be
    /// outdated.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub async fn lend(
        &self,
        step: &StepId,
        patience: Patience,
        say: impl Fn(String),
    ) -> Result<Result<bool, Refused>> {
        let mut lent = self.lent.lock().await;
        if lent.is_empty() && self.holds(&self.hub) {
            // Among the run's own regions.
            return Ok(Ok(false));
        }
        let mut has_waited = false;
        if lent.is_empty() {
            let _taking = self.taking.lock().await;
            match self.take_all(std::slice::from_ref(&self.hub), patience.max(SHARED), say).await? {
                Ok(waited) => has_waited = waited,
                Err(refused) => return Ok(Err(refused)),
            }
        }
        lent.insert(step.clone());
        Ok(Ok(has_waited))
    }

    /// The step has ended.
    pub async fn unlend(&self, step: &StepId) {
        let mut lent = self.lent.lock().await;
        if lent.remove(step) && lent.is_empty() {
            self.give_back(std::slice::from_ref(&self.hub)).await;
        }
    }

    /// Returns everything. Nothing of this command acts any more.
    pub async fn finish(&self) {
        let all: Vec<RegionName> =
            self.tried.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        self.give_back(&all).await;
    }

    async fn give_back(&self, regions: &[RegionName]) {
        join_all(regions.iter().map(|region| self.give_back_one(region))).await;
    }

    async fn give_back_one(&self, region: &RegionName) {
        self.fence.release(region);
        let slot = self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(region);
        let Some((place, key)) = self.places.of(region) else { return };
        let returned = async {
            if let Some(slot) = slot {
                // Waits for a renewal that is under way; another one finds nothing.
                slot.lock().await.take();
            }
            loop {
                // Read first: a renewal whose answer was lost may have changed the content.
                match take::read(&place, &key).await {
                    Ok(Some((object, lease))) if lease.id == self.ours.id => {
                        if place.delete(&key, &object.etag).await.is_err() {
                            tokio::time::sleep(AGAIN).await;
                        }
                    }
                    Ok(_) => return,
                    Err(_) => tokio::time::sleep(AGAIN).await,
                }
            }
        };
        if tokio::time::timeout(RETURN, returned).await.is_ok() {
            self.tried.lock().unwrap_or_else(PoisonError::into_inner).remove(region);
        }
    }

    /// Renews everything that is held. Returns whether all of it could be renewed.
    async fn renew_all(&self) -> bool {
        let slots = self.slots();
        let renewed = join_all(slots.iter().map(|(region, slot)| async move {
            let mut slot = slot.lock().await;
            let Some(held) = slot.as_mut() else { return Ok(()) };
            let renewed = tokio::time::timeout(RENEWAL, self.renew(region, held)).await;
            let renewed = renewed.unwrap_or_else(|_| Err(Error::transient("its bucket does not answer")));
            renewed.inspect_err(|error| self.fence.note(region, error))
        }))
        .await;
        renewed.iter().all(Result::is_ok)
    }

    async fn renew(&self, region: &RegionName, held: &mut Held<P::Place>) -> Result<()> {
        let Held { place, key, etag, beat } = held;
        *beat += 1;
        let lease = Lease { beat: *beat, ..self.ours.clone() };
        let sent = (self.eyes.clock)();
        match place.write(key, serde_json::to_vec(&lease)?, Condition::Is(etag)).await? {
            Written::Done(renewed) => {
                *etag = renewed;
                self.fence.hold(region, sent + SILENCE);
                return Ok(());
            }
            // S3 may not know a new bucket for some seconds.
            Written::NoBucket => return Err(Error::transient("its bucket does not exist")),
            Written::Refused => {}
        }
        match take::read(place, key).await? {
            Some((object, lease)) if lease.id == self.ours.id => {
                // An earlier renewal whose answer was lost. When it was written is not known.
                *etag = object.etag;
                Err(Error::transient("a renewal was lost"))
            }
            Some((_, lease)) => {
                self.fence.lose(&format!(
                    "the lease of region `{region}` was not renewed in time, and {} has taken it over",
                    named(&lease.holder)
                ));
                Ok(())
            }
            None => {
                self.fence.lose(&format!("the lease of region `{region}` was broken"));
                Ok(())
            }
        }
    }
}
