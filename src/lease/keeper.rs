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
use tokio::task::AbortHandle;

use super::{
    BEAT, Lease, MARGIN, Place as _, Places, SILENCE,
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
pub(super) const AGAIN: Duration = Duration::from_secs(1);
/// How long a bucket may not answer before the wait for a lease ends.
const OUTAGE: Duration = Duration::from_mins(2);
/// How long steps of other runs may hold the hub: they change a few objects there.
const SHARED: Duration = Duration::from_mins(5);
/// How long a return is tried. After that the next run waits until this one counts as dead.
const RETURN: Duration = Duration::from_secs(15);
/// How long one renewal may take, so that several fit into the time for which a lease is good.
const RENEWAL: Duration = Duration::from_secs(15);

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
pub fn named(Header { run, command, by, machine, pid, at, .. }: &Header) -> String {
    let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
    format!("run {run} (`paydeploy {command}`{by} on {}, process {pid}, since {at:.0})", machine.host)
}

/// For whom a run had to wait before it got its leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waited {
    No,
    /// For the proof that a run is dead.
    ForDead,
    /// For a run that was at work.
    ForLiving,
}

/// What taking several leases came to.
enum Round {
    Taken,
    Busy {
        region: RegionName,
        lease: Box<Lease>,
        silence: Duration,
        is_alive: bool,
    },
    /// Another run was faster, or an attempt of ours whose answer was lost. The next read tells.
    Changed,
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
    /// What was seen of other holders, kept from one attempt to the next. Locked, because two steps of a region may ask for
    /// its lease at the same time.
    seen: tokio::sync::Mutex<BTreeMap<RegionName, Watch>>,
    /// Holders whose leases were taken over: they are dead.
    dead: Mutex<Vec<Header>>,
    hub: RegionName,
    /// The steps to which the hub's lease is lent.
    lent: tokio::sync::Mutex<BTreeSet<StepId>>,
    /// The task that renews. It also ends when the leases are dropped.
    renews: Mutex<Option<AbortHandle>>,
}

impl<P: Places> Leases<P> {
    /// Holds nothing yet, and renews what it will hold.
    pub fn start(places: P, holder: Header, eyes: Eyes, fence: Fence, hub: RegionName) -> Arc<Self> {
        let ours = Lease { id: RunId::new().to_string(), holder, beat: 0, removes: false };
        let leases = Arc::new(Self {
            places,
            ours,
            eyes,
            fence,
            held: Mutex::default(),
            tried: Mutex::default(),
            seen: tokio::sync::Mutex::default(),
            dead: Mutex::default(),
            hub,
            lent: tokio::sync::Mutex::default(),
            renews: Mutex::default(),
        });
        let renewed = Arc::downgrade(&leases);
        let task = tokio::spawn(async move {
            let mut pause = BEAT;
            loop {
                tokio::time::sleep(pause).await;
                let Some(leases) = renewed.upgrade() else { return };
                pause = if leases.renew_all().await { BEAT } else { AGAIN };
            }
        });
        *leases.renews.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
        leases
    }

    /// Renews nothing any more.
    pub fn stop(&self) {
        if let Some(renews) = self.renews.lock().unwrap_or_else(PoisonError::into_inner).take() {
            renews.abort();
        }
    }

    /// The region that has what all regions share.
    pub fn hub(&self) -> &RegionName {
        &self.hub
    }

    pub fn fence(&self) -> &Fence {
        &self.fence
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

    pub fn holds(&self, region: &RegionName) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).contains_key(region)
    }

    /// Takes the leases of these regions, all or none. Waits for a living holder as long as the patience says, and for any
    /// other until it counts as dead. `say` gets a line about the run that is waited for.
    ///
    /// # Errors
    /// The first lease that another run holds, or why one cannot be read or written.
    pub async fn take(
        &self,
        regions: &[RegionName],
        patience: Patience,
        say: impl Fn(String),
    ) -> Result<Result<Waited, Refused>> {
        if regions.iter().all(|region| self.holds(region)) {
            return Ok(Ok(Waited::No));
        }
        let mut seen = self.seen.lock().await;
        // A run that waits while it holds something may itself be waited for.
        let patience = if self.slots().is_empty() { patience } else { Duration::ZERO };
        self.take_all(regions, &mut seen, patience, say).await
    }

    async fn take_all(
        &self,
        regions: &[RegionName],
        seen: &mut BTreeMap<RegionName, Watch>,
        patience: Patience,
        say: impl Fn(String),
    ) -> Result<Result<Waited, Refused>> {
        // In one order for all runs, the hub first.
        let mut regions: Vec<&RegionName> = regions.iter().filter(|region| !self.holds(region)).collect();
        regions.sort_by_key(|region| (**region != self.hub, (*region).clone()));
        let started = (self.eyes.clock)();
        let mut answered = started;
        let mut waited_for = Waited::No;
        let mut said = None;
        loop {
            let (region, lease, silence, is_alive) = match self.take_once(&regions, seen).await {
                Ok(Round::Taken) => return Ok(Ok(waited_for)),
                Ok(Round::Busy { region, lease, silence, is_alive }) => (region, lease, silence, is_alive),
                Ok(Round::Changed) => {
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                // What has been seen of the holders is kept: a wait that started over at each error might never end.
                Err(error)
                    if waited_for != Waited::No
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
            if is_alive && waited >= patience {
                return Ok(Err(Refused { region, holder: lease.holder }));
            }
            let what = Some((lease.id.clone(), is_alive));
            if said != what {
                let rest = report::duration((SILENCE + MARGIN).saturating_sub(silence));
                let until = match (lease.removes, is_alive) {
                    (true, _) => "it removes the lease of another run".to_owned(),
                    (false, true) => "it is running".to_owned(),
                    (false, false) => format!("it counts as dead if it stays silent for {rest}"),
                };
                say(format!("waiting for {}, which holds region `{region}`: {until}", named(&lease.holder)));
                said = what;
            }
            waited_for = waited_for.max(if is_alive { Waited::ForLiving } else { Waited::ForDead });
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn take_once(
        &self,
        regions: &[&RegionName],
        seen: &mut BTreeMap<RegionName, Watch>,
    ) -> Result<Round> {
        // All are read before any is written: a run that waits must not look like a holder.
        let judged = join_all(regions.iter().map(|region| {
            let mut watch = seen.get(*region).cloned().unwrap_or_default();
            async move {
                let Some((place, key)) = self.places.of(region) else { return Ok(None) };
                let judged = take::judge(&place, &key, &self.ours, &self.eyes, &mut watch).await;
                judged.map(|judged| Some((*region, place, key, judged, watch)))
            }
        }));
        let judged: Vec<_> = judged.await.into_iter().collect();
        for (region, .., watch) in judged.iter().flatten().flatten() {
            seen.insert((*region).clone(), watch.clone());
        }
        let mut free = Vec::new();
        for one in judged {
            let Some((region, place, key, judged, watch)) = one? else { continue };
            match judged {
                Judged::Free { etag, from } => free.push((region, place, key, etag, from)),
                Judged::Busy(lease, silence) => {
                    let (region, lease, is_alive) = (region.clone(), Box::new(lease), watch.is_alive);
                    return Ok(Round::Busy { region, lease, silence, is_alive });
                }
                Judged::NoBucket => {}
            }
        }
        let content = serde_json::to_vec(&self.ours)?;
        let write =
            |(region, place, key, etag, from)| self.write(region, place, key, etag, from, content.clone());
        let mut free = free.into_iter();
        // The first one alone: two runs that want the same regions then do not each take some of them.
        let first = join_all(free.next().map(write)).await;
        let others = if first.iter().all(|done| matches!(done, Ok(true))) {
            join_all(free.map(write)).await
        } else {
            Vec::new()
        };
        let done: Result<Vec<bool>> = first.into_iter().chain(others).collect();
        if !matches!(&done, Ok(done) if done.iter().all(|done| *done)) {
            let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner).clone();
            tried.retain(|tried| regions.contains(&tried));
            self.give_back(&tried.into_iter().collect::<Vec<_>>()).await;
        }
        Ok(if done?.into_iter().all(|done| done) { Round::Taken } else { Round::Changed })
    }

    /// Writes a lease that may be taken; false if it has changed since it was read.
    async fn write(
        &self,
        region: &RegionName,
        place: P::Place,
        key: String,
        etag: Option<String>,
        from: Option<Header>,
        content: Vec<u8>,
    ) -> Result<bool> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner).insert(region.clone());
        let condition = etag.as_deref().map_or(Condition::Missing, Condition::Is);
        let sent = (self.eyes.clock)();
        match place.write(&key, content, condition).await? {
            Written::Done(etag) => {
                self.dead.lock().unwrap_or_else(PoisonError::into_inner).extend(from);
                let held = Held { place, key, etag, beat: self.ours.beat };
                let slot = Arc::new(tokio::sync::Mutex::new(Some(held)));
                let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
                held.insert(region.clone(), slot);
                self.fence.hold(region, sent + SILENCE);
                Ok(true)
            }
            Written::NoBucket => Ok(true),
            Written::Refused => Ok(false),
        }
    }

    /// Lends the hub's lease to a step. If it had to be waited for, what the step has read may be outdated.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub async fn lend(
        &self,
        step: &StepId,
        patience: Patience,
        say: impl Fn(String),
    ) -> Result<Result<Waited, Refused>> {
        let mut lent = self.lent.lock().await;
        if lent.is_empty() && self.holds(&self.hub) {
            // Among the run's own regions.
            return Ok(Ok(Waited::No));
        }
        let mut waited_for = Waited::No;
        if lent.is_empty() {
            let mut seen = self.seen.lock().await;
            let hub = std::slice::from_ref(&self.hub);
            match self.take_all(hub, &mut seen, patience.max(SHARED), say).await? {
                Ok(waited) => waited_for = waited,
                Err(refused) => return Ok(Err(refused)),
            }
        }
        lent.insert(step.clone());
        Ok(Ok(waited_for))
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
        let slot = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            // Together, so that a renewal that is under way cannot make the fence wait for a lease that is returned.
            self.fence.release(region);
            held.remove(region)
        };
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
            renewed.inspect_err(|error| self.if_held(region, |fence| fence.note(region, error)))
        }))
        .await;
        renewed.iter().all(Result::is_ok)
    }

    /// Changes the fence for a region that is not being returned.
    fn if_held(&self, region: &RegionName, change: impl FnOnce(&Fence)) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.contains_key(region) {
            change(&self.fence);
        }
    }

    async fn renew(&self, region: &RegionName, held: &mut Held<P::Place>) -> Result<()> {
        let Held { place, key, etag, beat } = held;
        *beat += 1;
        let lease = Lease { beat: *beat, ..self.ours.clone() };
        let sent = (self.eyes.clock)();
        match place.write(key, serde_json::to_vec(&lease)?, Condition::Is(etag)).await? {
            Written::Done(renewed) => {
                *etag = renewed;
                self.if_held(region, |fence| fence.hold(region, sent + SILENCE));
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
                let by = named(&lease.holder);
                let why = format!("{by} has taken the lease of region `{region}`");
                self.if_held(region, |fence| fence.lose(region, &why));
                Ok(())
            }
            None => {
                let why = format!("the lease of region `{region}` was deleted");
                self.if_held(region, |fence| fence.lose(region, &why));
                Ok(())
            }
        }
    }
}
