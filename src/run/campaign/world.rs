//! The world outside, in memory: what clouds, clusters and registries keep, and who may change it.
//!
//! Every request passes two moments: one before it arrives and one before its answer does. A process can die in either of
//! them. The world itself checks at each change:
//!
//! - What is created or held is in an open claim of the run, on disk and in the region's bucket.
//! - A resource with a fixed name is created only while it does not exist.
//! - A lock, and what is half done, is freed by others only after its holder has died.
//! - A stack's resources and its state change only under its lock.
//! - What is claimed changes only while the process holds the lease of its region.
//!
//! A broken rule is remembered instead of raised: the engine would take a panic for the failure of a step.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::Instant;

use super::{
    bucket,
    process::{Process, Run},
};
use crate::{
    run::mirror::testing::Memory,
    state::{Header, Machine},
    step::{Claim, Context, Error, Event, RegionName, Result, StepId},
    task::{Fence, Place},
};

/// How long a request and its answer take, in hundredths of a second. A signal comes between two of these, so that it
/// never coincides with anything else: which one is served first is drawn by Tokio and not from the seed.
pub const QUICK: RangeInclusive<u64> = 1..=30;
/// How long it takes to create something.
pub const SLOW: RangeInclusive<u64> = 100..=1500;

/// A stack of a region.
pub type Stack = (RegionName, &'static str);

#[derive(Debug, Clone)]
pub struct Resource {
    pub stack: Stack,
    pub address: &'static str,
    pub born: Duration,
    by: u32,
}

/// A Terraform state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TfState {
    pub serial: u32,
    /// Ids by address.
    pub resources: BTreeMap<&'static str, u32>,
    pub is_complete: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    pub id: String,
    by: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Pending,
    Deployed,
    Uninstalling,
}

#[derive(Debug, Clone)]
pub struct Release {
    pub status: Status,
    pub mark: String,
    by: u32,
}

/// What exists.
#[derive(Debug, Clone, Default)]
pub struct Things {
    pub next_id: u32,
    pub buckets: BTreeSet<RegionName>,
    pub resources: BTreeMap<u32, Resource>,
    pub states: BTreeMap<Stack, TfState>,
    pub locks: BTreeMap<Stack, Lock>,
    pub releases: BTreeMap<RegionName, Release>,
    /// The temporary objects, and when each was created.
    pub probes: BTreeMap<String, Duration>,
    pub registered: BTreeSet<RegionName>,
    pub has_image: bool,
    /// How often anything was changed.
    pub changes: u32,
}

/// How far a step has come with what it claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The claim is on its way to disk and bucket.
    Claiming,
    /// It is recorded, and nothing has happened yet.
    Claimed,
    /// What it names exists, and is not complete.
    Midway,
    /// All is done, and the claim is not released yet.
    Done,
    /// A later run repairs what it names.
    Repairing,
}

/// What kills have met, for the proof that the campaign was not vacuous.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub kills: u32,
    /// Kills in which a claim was in this stage.
    pub stages: BTreeMap<Stage, u32>,
    pub before_any_claim: u32,
    pub inside_an_effect: u32,
}

pub struct Inner {
    rng: StdRng,
    pub things: Things,
    pub records: BTreeMap<RegionName, Memory>,
    living: BTreeSet<u32>,
    stages: BTreeMap<(u32, StepId, Claim), Stage>,
    pub tally: Tally,
    pub broken: Vec<String>,
    pub trace: Vec<String>,
    next_name: u32,
}

pub struct World {
    inner: Mutex<Inner>,
    epoch: Instant,
}

impl World {
    pub fn new(seed: u64, things: Things, regions: &[RegionName]) -> Arc<Self> {
        let inner = Inner {
            rng: StdRng::seed_from_u64(seed),
            things,
            records: regions.iter().map(|region| (region.clone(), Memory::default())).collect(),
            living: BTreeSet::new(),
            stages: BTreeMap::new(),
            tally: Tally::default(),
            broken: Vec::new(),
            trace: Vec::new(),
            next_name: 0,
        };
        Arc::new(Self { inner: Mutex::new(inner), epoch: Instant::now() })
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    pub fn note(&self, line: impl std::fmt::Display) {
        let at = self.now().as_millis();
        self.lock().trace.push(format!("{at:>8} ms  {line}"));
    }

    /// A name that was never used before in this world.
    pub fn name(&self, of: &str) -> String {
        let mut inner = self.lock();
        inner.next_name += 1;
        format!("{of}-{:06}", inner.next_name)
    }

    pub fn starts(&self, process: &Process) {
        self.lock().living.insert(process.number);
    }

    /// A process has ended by itself. What it had claimed no longer counts as under way.
    pub fn ends(&self, process: &Process) {
        let mut inner = self.lock();
        inner.living.remove(&process.number);
        inner.stages.retain(|(by, ..), _| *by != process.number);
        process.end();
    }

    /// A process dies. Counts what it was doing.
    pub fn dies(&self, process: &Process) {
        if !process.is_alive() {
            return;
        }
        self.note(format!("process {} dies", process.number));
        {
            let mut inner = self.lock();
            let stages: BTreeSet<Stage> = inner
                .stages
                .iter()
                .filter(|((by, ..), _)| *by == process.number)
                .map(|(_, one)| *one)
                .collect();
            inner.tally.kills += 1;
            if stages.is_empty() {
                inner.tally.before_any_claim += 1;
            }
            if stages.contains(&Stage::Midway) || stages.contains(&Stage::Repairing) {
                inner.tally.inside_an_effect += 1;
            }
            for stage in stages {
                *inner.tally.stages.entry(stage).or_default() += 1;
            }
        }
        self.ends(process);
    }
}

impl Inner {
    fn breaks(&mut self, rule: String) {
        self.trace.push(format!("BROKEN: {rule}"));
        self.broken.push(rule);
    }

    pub fn draw(&mut self, from: RangeInclusive<u64>) -> u64 {
        self.rng.random_range(from)
    }

    fn is_alive(&self, by: u32) -> bool {
        self.living.contains(&by)
    }
}

/// The world as one run of a process reaches it.
#[derive(Clone)]
pub struct Hand {
    pub world: Arc<World>,
    pub process: Arc<Process>,
    pub run: Run,
    pub fence: Fence,
}

/// Whether an answer can be lost although the request was served. Any request can fail before it is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Certain,
    MayBeLost,
    /// The request does not fail either.
    Spared,
}

impl Hand {
    /// Waits for a moment of the world, in which the process may die.
    async fn moment(&self, takes: RangeInclusive<u64>) {
        let (takes, has_claimed) = {
            let mut inner = self.world.lock();
            let takes = Duration::from_millis(inner.draw(takes) * 10);
            (takes, inner.stages.keys().any(|(by, ..)| *by == self.process.number))
        };
        if self.process.is_alive() && self.process.moment(has_claimed) {
            self.world.dies(&self.process);
        }
        if self.process.is_alive() {
            tokio::time::sleep(takes).await;
        }
        if !self.process.is_alive() {
            // Nothing that a dead process has started goes on.
            std::future::pending::<()>().await;
        }
    }

    /// Whether one of the process's faults happens now.
    fn fails(&self) -> bool {
        let mut faults = self.process.faults.lock().unwrap();
        let fails = faults.left > 0 && self.world.lock().draw(1..=12) == 1;
        faults.left -= u32::from(fails);
        fails
    }

    /// One request, which is sent only if the run may act.
    pub async fn ask<T>(
        &self,
        what: &str,
        takes: RangeInclusive<u64>,
        answer: Answer,
        serve: impl FnOnce(&mut Inner) -> Result<T>,
    ) -> Result<T> {
        self.fence.pass(Place::Region(None))?;
        self.ask_always(what, takes, answer, serve).await
    }

    /// One request.
    pub async fn ask_always<T>(
        &self,
        what: &str,
        takes: RangeInclusive<u64>,
        answer: Answer,
        serve: impl FnOnce(&mut Inner) -> Result<T>,
    ) -> Result<T> {
        self.moment(takes).await;
        if answer != Answer::Spared && self.fails() {
            return Err(Error::transient(format!("{what}: throttled")));
        }
        self.world.note(format!("process {}: {what}", self.process.number));
        let served = serve(&mut self.world.lock());
        self.moment(QUICK).await;
        if answer == Answer::MayBeLost && self.fails() {
            return Err(Error::transient(format!("{what}: the answer was lost")));
        }
        served
    }

    /// One request that only reads.
    pub async fn read<T>(&self, what: &str, serve: impl FnOnce(&Things) -> T) -> Result<T> {
        self.ask(what, QUICK, Answer::Certain, |inner| Ok(serve(&inner.things))).await
    }

    /// Claims something by the step's own means, and follows how far it comes.
    pub async fn claim(&self, cx: &Context, claim: &Claim) -> Result<()> {
        self.enters(cx, claim, Stage::Claiming);
        let claimed = cx.claim(claim).await;
        match &claimed {
            Ok(()) => self.enters(cx, claim, Stage::Claimed),
            Err(_) => self.leaves(cx, claim),
        }
        claimed
    }

    pub fn release(&self, cx: &Context, claim: &Claim) {
        self.leaves(cx, claim);
        cx.release(claim);
    }

    fn enters(&self, cx: &Context, claim: &Claim, stage: Stage) {
        let key = (self.process.number, cx.step.clone(), claim.clone());
        self.world.lock().stages.insert(key, stage);
    }

    fn leaves(&self, cx: &Context, claim: &Claim) {
        let key = (self.process.number, cx.step.clone(), claim.clone());
        self.world.lock().stages.remove(&key);
    }

    pub fn repairs(&self, cx: &Context, left: &[Claim]) {
        for claim in left.iter().filter(|claim| !claim.outlives_repair()) {
            self.enters(cx, claim, Stage::Repairing);
        }
    }

    pub fn has_repaired(&self, cx: &Context, left: &[Claim]) {
        for claim in left.iter().filter(|claim| !claim.outlives_repair()) {
            self.leaves(cx, claim);
        }
    }

    /// Notes a change that a claim covers, and checks that the claim was written ahead.
    fn changes(&self, inner: &mut Inner, cx: &Context, claim: &Claim, stage: Stage) {
        inner.things.changes += 1;
        let key = (self.process.number, cx.step.clone(), claim.clone());
        if inner.stages.get(&key) != Some(&Stage::Repairing) {
            inner.stages.insert(key, stage);
        }
        let (step, number) = (&cx.step, self.process.number);
        let holder = step.region.as_ref().map(|region| bucket::holder(&inner.records[region], region));
        if holder.as_ref().is_some_and(|holder| *holder != Some(self.process.holder())) {
            inner.breaks(format!("process {number}, {step}: an effect although {holder:?} holds the region"));
        }
        if !self.is_on_disk(step, claim) {
            inner.breaks(format!("process {number}, {step}: an effect without its claim on disk: {claim}"));
        }
        let recorded =
            step.region.as_ref().is_none_or(|region| bucket::has(&inner.records[region], step, claim));
        if !recorded {
            inner.breaks(format!(
                "process {number}, {step}: an effect without its claim in the bucket: {claim}"
            ));
        }
    }

    /// Whether the claim is open in the run's journal. Searched as text, because this is asked at every change.
    fn is_on_disk(&self, step: &StepId, claim: &Claim) -> bool {
        let (step, claim) = (step.clone(), claim.clone());
        let claimed = Event::Claimed { step: step.clone(), claim: claim.clone() };
        let text = std::fs::read_to_string(self.run.folder.join("journal.ndjson")).unwrap_or_default();
        let last = |event: &Event| text.rfind(serde_json::to_string(event).unwrap().trim_start_matches('{'));
        last(&claimed) > last(&Event::Released { step, claim })
    }

    pub fn header(&self, machine: &Machine, command: &str) -> Header {
        let machine = machine.clone();
        let (pid, start) = (self.process.pid, self.process.start);
        Header { machine, pid, start, ..Header::new(&self.run.id, command) }
    }
}

/// Stacks.
impl Hand {
    /// Takes the lock if it is free; returns whether it did.
    pub async fn create_lock(&self, cx: &Context, stack: &Stack, claim: &Claim, id: &str) -> Result<bool> {
        self.ask(&format!("lock {stack:?} with {id}"), QUICK, Answer::MayBeLost, |inner| {
            if inner.things.locks.contains_key(stack) {
                return Ok(false);
            }
            let lock = Lock { id: id.to_owned(), by: self.process.number };
            inner.things.locks.insert(stack.clone(), lock);
            self.changes(inner, cx, claim, Stage::Midway);
            Ok(true)
        })
        .await
    }

    /// Deletes the lock if it has this id.
    pub async fn delete_lock(&self, cx: &Context, stack: &Stack, claim: &Claim, id: &str) -> Result<()> {
        self.ask(&format!("unlock {stack:?} with {id}"), QUICK, Answer::MayBeLost, |inner| {
            let Some(lock) = inner.things.locks.get(stack).filter(|lock| lock.id == id).cloned() else {
                return Ok(());
            };
            self.others_must_be_dead(inner, lock.by, &format!("the lock of {stack:?}"));
            inner.things.locks.remove(stack);
            self.changes(inner, cx, claim, Stage::Done);
            Ok(())
        })
        .await
    }

    fn others_must_be_dead(&self, inner: &mut Inner, by: u32, what: &str) {
        let number = self.process.number;
        if by != number && inner.is_alive(by) {
            inner.breaks(format!("process {number} freed {what}, which process {by} holds and lives"));
        }
    }

    fn must_hold(&self, inner: &mut Inner, stack: &Stack) {
        let number = self.process.number;
        if inner.things.locks.get(stack).is_none_or(|lock| lock.by != number) {
            inner.breaks(format!("process {number} changed {stack:?} without its lock"));
        }
    }

    pub async fn create(
        &self,
        cx: &Context,
        stack: &Stack,
        claim: &Claim,
        (address, has_fixed_name): (&'static str, bool),
    ) -> Result<u32> {
        self.ask(&format!("create {address} of {stack:?}"), SLOW, Answer::Certain, |inner| {
            self.must_hold(inner, stack);
            let mut same =
                inner.things.resources.values().filter(|one| one.stack == *stack && one.address == address);
            if has_fixed_name && same.next().is_some() {
                inner.breaks(format!("{address} of {stack:?} was created while it exists"));
                return Err(Error::permanent(format!("the name of {address} is taken")));
            }
            inner.things.next_id += 1;
            let id = inner.things.next_id;
            let (stack, born, by) = (stack.clone(), self.world.now(), self.process.number);
            inner.things.resources.insert(id, Resource { stack, address, born, by });
            self.changes(inner, cx, claim, Stage::Midway);
            Ok(id)
        })
        .await
    }

    pub async fn delete(&self, cx: &Context, stack: &Stack, claim: &Claim, id: u32) -> Result<()> {
        self.ask(&format!("delete {id} of {stack:?}"), SLOW, Answer::MayBeLost, |inner| {
            self.must_hold(inner, stack);
            if inner.things.resources.remove(&id).is_some() {
                self.changes(inner, cx, claim, Stage::Midway);
            }
            Ok(())
        })
        .await
    }

    pub async fn put_state(&self, cx: &Context, stack: &Stack, claim: &Claim, state: TfState) -> Result<()> {
        // A state that cannot be written keeps no rival out once the lock is released, with Terraform alone as well.
        let has_rival = self.process.rival_at.is_some();
        let answer = if has_rival { Answer::Spared } else { Answer::MayBeLost };
        self.ask(&format!("write the state of {stack:?}"), QUICK, answer, |inner| {
            self.must_hold(inner, stack);
            for id in state.resources.values() {
                let by = inner.things.resources.get(id).map_or(self.process.number, |one| one.by);
                let known = inner
                    .things
                    .states
                    .get(stack)
                    .is_some_and(|old| old.resources.values().any(|old| old == id));
                if !known {
                    self.others_must_be_dead(inner, by, &format!("resource {id} of {stack:?}"));
                }
            }
            inner.things.states.insert(stack.clone(), state);
            self.changes(inner, cx, claim, Stage::Done);
            Ok(())
        })
        .await
    }
}

/// Releases.
impl Hand {
    /// Writes the first revision of a release; returns whether there was none.
    pub async fn begin_release(
        &self,
        cx: &Context,
        region: &RegionName,
        claim: &Claim,
        mark: &str,
    ) -> Result<bool> {
        self.ask(&format!("begin the release of {region} with {mark}"), QUICK, Answer::Certain, |inner| {
            if inner.things.releases.contains_key(region) {
                return Ok(false);
            }
            let release = Release { status: Status::Pending, mark: mark.to_owned(), by: self.process.number };
            inner.things.releases.insert(region.clone(), release);
            self.changes(inner, cx, claim, Stage::Midway);
            Ok(true)
        })
        .await
    }

    pub async fn finish_release(
        &self,
        cx: &Context,
        region: &RegionName,
        claim: &Claim,
        mark: &str,
    ) -> Result<()> {
        self.ask(&format!("finish the release of {region} with {mark}"), SLOW, Answer::Certain, |inner| {
            let Some(release) = inner.things.releases.get_mut(region).filter(|release| release.mark == mark)
            else {
                return Err(Error::transient("the release was uninstalled meanwhile"));
            };
            release.status = Status::Deployed;
            self.changes(inner, cx, claim, Stage::Done);
            Ok(())
        })
        .await
    }

    pub async fn begin_removal(&self, cx: &Context, region: &RegionName, claim: &Claim) -> Result<()> {
        self.ask(&format!("begin to uninstall the release of {region}"), QUICK, Answer::Certain, |inner| {
            if let Some(release) = inner.things.releases.get_mut(region) {
                release.status = Status::Uninstalling;
                self.changes(inner, cx, claim, Stage::Midway);
            }
            Ok(())
        })
        .await
    }

    /// Deletes the release; with a mark, only one that was installed with it.
    pub async fn remove_release(
        &self,
        cx: &Context,
        region: &RegionName,
        claim: &Claim,
        mark: Option<&str>,
    ) -> Result<()> {
        self.ask(&format!("remove the release of {region}"), SLOW, Answer::Certain, |inner| {
            let found = inner.things.releases.get(region).cloned();
            let Some(release) = found.filter(|release| mark.is_none_or(|mark| release.mark == mark)) else {
                return Ok(());
            };
            if release.status == Status::Pending {
                self.others_must_be_dead(inner, release.by, &format!("the release of {region}"));
            }
            inner.things.releases.remove(region);
            self.changes(inner, cx, claim, Stage::Done);
            Ok(())
        })
        .await
    }
}

/// Temporary objects and single entries.
impl Hand {
    pub async fn create_probe(&self, cx: &Context, claim: &Claim, name: &str) -> Result<()> {
        self.ask(&format!("create {name}"), QUICK, Answer::MayBeLost, |inner| {
            inner.things.probes.insert(name.to_owned(), self.world.now());
            self.changes(inner, cx, claim, Stage::Midway);
            Ok(())
        })
        .await
    }

    /// Deletes a probe. Without a claim nothing is known about it, and another run that still needs it creates it again.
    pub async fn delete_probe(&self, cx: &Context, claim: Option<&Claim>, name: &str) -> Result<()> {
        self.ask(&format!("delete {name}"), QUICK, Answer::MayBeLost, |inner| {
            if inner.things.probes.remove(name).is_some()
                && let Some(claim) = claim
            {
                self.changes(inner, cx, claim, Stage::Done);
            }
            Ok(())
        })
        .await
    }

    /// Changes an entry that is overwritten by its name: it needs no claim, because doing it twice is doing it once.
    pub async fn overwrite(&self, what: &str, write: impl FnOnce(&mut Things)) -> Result<()> {
        self.ask(what, QUICK, Answer::MayBeLost, |inner| {
            inner.things.changes += 1;
            write(&mut inner.things);
            Ok(())
        })
        .await
    }

    /// Changes an upload, of which a registry keeps only the end.
    pub async fn upload(&self, cx: &Context, claim: &Claim, is_last: bool) -> Result<()> {
        self.ask("upload a layer", SLOW, Answer::Certain, |inner| {
            inner.things.has_image |= is_last;
            self.changes(inner, cx, claim, if is_last { Stage::Done } else { Stage::Midway });
            Ok(())
        })
        .await
    }
}
