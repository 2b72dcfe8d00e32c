//! Runs on other machines, or whose disk was lost, as their records in the state bucket show them (`mirror`).
//!
//! Before its first effect in a region a run reads the records of others there. Whether their owners still act:
//!
//! - An owner whose record says so has ended, and so have its children.
//! - An owner whose journal is in this folder has ended: this run holds the folder's lock, and has waited for what the
//!   owner had started (`leftover`). After a power cut that is most often the only one.
//! - An owner that this process can look up (same boot, same process namespace) is decided by `/proc`: alive, or dead.
//!   If it is dead, its children are waited for: they were interrupted when it died.
//! - Any other is watched. A record that changes or disappears has a living owner. One that keeps its mark for
//!   [`SILENCE`], six heartbeats, has a dead one; its children have ended after another [`MARGIN`], in which a terraform
//!   saves its state. Time is measured here alone, on the clock that also counts while the machine sleeps; clocks of
//!   two machines are never compared. One whose lease was taken over has been watched for as long already.
//!
//! The claims of a living owner are left alone: Terraform's lock keeps the two apart. Those of a dead one are taken
//! over, first into this run's own journal and record, and only then is the dead one's record deleted. So they survive
//! whatever happens to this run.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::future::{BoxFuture, try_join_all};
use tokio::sync::OnceCell;

use super::mirror::{Bucket, Buckets, Mirrored};
use crate::{
    aws::objects::Object,
    engine::Gate,
    lease::{Eyes, SILENCE},
    report,
    state::{Header, Life, Machine},
    step::{Context, Error, ErrorExt as _, Event, Events, RegionName, Result, RunId, StepId},
    task::{Claim, MARGIN, Task, since_boot},
};

/// Between two checks of a record or of a process.
const INTERVAL: Duration = Duration::from_secs(5);
/// Longer than any of our `terraform apply` runs takes: RDS with a second zone needs up to 40 minutes.
pub(super) const CHILD_DEADLINE: Duration = Duration::from_secs(60 * 60);

/// What is open of which step.
pub(super) type Left = BTreeMap<StepId, BTreeSet<Claim>>;

/// What earlier runs of this folder left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Earlier {
    /// Those runs. All have ended, and so have their children.
    pub ended: BTreeSet<RunId>,
    pub left: Left,
}

/// What earlier runs left open: this folder's from the start, and each region's others when it is entered.
pub(super) struct Others<B> {
    run: RunId,
    buckets: B,
    eyes: Eyes,
    left: Mutex<Left>,
    entered: Mutex<BTreeMap<RegionName, std::sync::Arc<OnceCell<()>>>>,
    /// Whose lease was taken over after the same silence.
    outlived: Outlived,
}

/// Whether a process was proved dead by the lease that it held.
type Outlived = Box<dyn Fn(&Header) -> bool + Send + Sync>;

impl<B: Buckets> Others<B> {
    pub fn new(run: RunId, Earlier { ended, left }: Earlier, buckets: B) -> Self {
        let eyes = Eyes { here: Machine::here(), ended, clock: since_boot };
        let outlived: Outlived = Box::new(|_| false);
        Self { run, buckets, eyes, left: Mutex::new(left), entered: Mutex::default(), outlived }
    }

    /// Those that `outlived` knows are dead without a second wait.
    pub fn knowing(mut self, outlived: impl Fn(&Header) -> bool + Send + Sync + 'static) -> Self {
        self.outlived = Box::new(outlived);
        self
    }

    /// As seen from another machine, by another clock.
    #[cfg(test)]
    pub fn seen_from(mut self, here: Machine, clock: fn() -> Duration) -> Self {
        (self.eyes.here, self.eyes.clock) = (here, clock);
        self
    }

    /// Takes over what dead runs left open in a region.
    async fn enter(&self, cx: &Context, region: &RegionName) -> Result<()> {
        let Some((bucket, folder)) = self.buckets.of(region) else { return Ok(()) };
        let eyes = (&self.eyes, &self.outlived);
        let taken = take_over(&cx.task, &bucket, &folder, &self.run, eyes, &self.left).await;
        taken.doing(format!("find out what other runs left open in region `{region}`"))
    }
}

impl<B: Buckets> Gate for Others<B> {
    fn pass<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Vec<Claim>>> {
        Box::pin(async move {
            if let Some(region) = &cx.step.region {
                let cell = {
                    let mut entered = self.entered.lock().unwrap_or_else(PoisonError::into_inner);
                    entered.entry(region.clone()).or_default().clone()
                };
                // The region's other steps wait here. If the one that looks is dropped, the next one does it.
                cell.get_or_try_init(|| self.enter(cx, region)).await?;
            }
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(left.remove(&cx.step).into_iter().flatten().collect())
        })
    }
}

/// Waits until the owners of a region's records are known to be alive or dead, and adds to `left` what dead ones left.
async fn take_over<B: Bucket>(
    task: &Task,
    bucket: &B,
    folder: &str,
    run: &RunId,
    (eyes, outlived): (&Eyes, &Outlived),
    left: &Mutex<Left>,
) -> Result<()> {
    let own = format!("{folder}{run}.json");
    let keys: Vec<String> = bucket.list(folder).await?.into_iter().filter(|key| *key != own).collect();
    let dead = try_join_all(keys.iter().map(|key| judge(task, bucket, key, eyes, outlived))).await?;
    for (key, (object, mirrored)) in keys.iter().zip(dead).filter_map(|(key, dead)| Some((key, dead?))) {
        for held in mirrored.claims {
            adopt(&task.events, &held.step, &held.claim).await?;
            // Before the record is deleted: if that fails, or the next record cannot be taken over, this is called again
            // and may not find the record any more.
            let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
            left.entry(held.step).or_default().insert(held.claim);
        }
        bucket.delete(key, &object.etag).await?;
    }
    Ok(())
}

/// Records a claim of a dead run as this run's own.
async fn adopt(events: &Events, step: &StepId, claim: &Claim) -> Result<()> {
    events.record(Event::Claimed { step: step.clone(), claim: claim.clone() }).await
}

/// The record of a dead owner; `None` if its owner lives or has just ended.
async fn judge<B: Bucket>(
    task: &Task,
    bucket: &B,
    key: &str,
    eyes: &Eyes,
    outlived: &Outlived,
) -> Result<Option<(Object, Mirrored)>> {
    let Some(object) = bucket.get(key).await? else { return Ok(None) };
    let mirrored = parse(key, &object)?;
    let owner = &mirrored.header;
    if mirrored.ended || eyes.ended.contains(&owner.run) {
        return Ok(Some((object, mirrored)));
    }
    let since = (eyes.clock)();
    match eyes.life(owner) {
        Life::Alive => return Ok(None),
        Life::Dead => {
            wait_for_children(task, &mirrored, eyes).await?;
            return Ok(Some((object, mirrored)));
        }
        // What it had started has had the margin to end.
        Life::Unknown if outlived(owner) => return Ok(Some((object, mirrored))),
        Life::Unknown => {}
    }
    loop {
        // Taken before the record is read again, so that the read shows at least this much silence.
        let silent = (eyes.clock)().saturating_sub(since);
        let Some(now) = bucket.get(key).await? else { return Ok(None) };
        if now.etag != object.etag {
            return Ok(None);
        }
        let Some(rest) = (SILENCE + MARGIN).checked_sub(silent).filter(|rest| !rest.is_zero()) else {
            return Ok(Some((object, mirrored)));
        };
        task.progress(format!(
            "waiting for run {} (`paydeploy {}` on {}, process {}): it counts as dead if it stays silent for {}",
            owner.run,
            owner.command,
            owner.machine.host,
            owner.pid,
            report::duration(rest)
        ));
        tokio::time::sleep(INTERVAL.min(rest)).await;
    }
}

async fn wait_for_children(task: &Task, mirrored: &Mirrored, eyes: &Eyes) -> Result<()> {
    let started = (eyes.clock)();
    for child in &mirrored.children {
        let alive = || mirrored.header.machine.life(&eyes.here, child.pid, child.start) == Life::Alive;
        while alive() {
            let (pid, command) = (child.pid, &child.command);
            if (eyes.clock)().saturating_sub(started) > CHILD_DEADLINE {
                let message =
                    format!("process {pid} (`{command}`) of run {} still runs", mirrored.header.run);
                return Err(Error::permanent(message)
                    .with_hint(format!("check what it does; if it hangs, end it: kill -INT {pid}")));
            }
            task.progress(format!(
                "waiting for `{command}` (process {pid}): it outlived run {}",
                mirrored.header.run
            ));
            tokio::time::sleep(INTERVAL).await;
        }
    }
    Ok(())
}

fn parse(key: &str, object: &Object) -> Result<Mirrored> {
    serde_json::from_slice(&object.body).doing(format!("read the record `{key}` of another run")).hint(
        "use the newer paydeploy that wrote it; if its run has certainly ended, delete the object from the state bucket",
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use tokio::time::Instant;

    use super::*;
    use crate::{
        run::mirror::{Child, Held, testing::Memory},
        step::{Phase, testing},
        task::{self, testing::paused},
        tool::start_time,
    };

    const FOLDER: &str = "payments/spain/paydeploy/runs/";
    const KEY: &str = "payments/spain/paydeploy/runs/dead.json";

    fn step() -> StepId {
        StepId::part(Phase::Terraform, &"spain".parse().unwrap(), "cluster")
    }

    fn claim() -> Claim {
        let id = "0190".to_owned();
        Claim::StateLock { bucket: "states".to_owned(), key: "payments/spain/cluster.tfstate".to_owned(), id }
    }

    /// A record of a run with one open claim.
    fn record(machine: Machine, pid: u32, children: Vec<Child>) -> Mirrored {
        let header = Header::new(&RunId::named("dead"), "up --region spain");
        let start = start_time(pid).unwrap_or(1);
        let header = Header { machine, pid, start, ..header };
        Mirrored {
            header,
            beat: 1,
            children,
            claims: vec![Held { step: step(), claim: claim() }],
            ended: false,
        }
    }

    fn elsewhere() -> Machine {
        Machine { host: "runner-7".to_owned(), boot: "another".to_owned(), ..Machine::here() }
    }

    /// No process of this machine: the kernel's largest process id is 2^22.
    const NOBODY: u32 = 1 << 23;

    struct World {
        bucket: Memory,
        task: Task,
        events: task::testing::Sent,
        ended: BTreeSet<RunId>,
        _dir: tempfile::TempDir,
    }

    fn world(mirrored: &Mirrored) -> World {
        let dir = tempfile::tempdir().unwrap();
        let (task, events) = task::testing::task(dir.path());
        let bucket = Memory::default();
        bucket.write(KEY, serde_json::to_vec(mirrored).unwrap());
        bucket.write(&format!("{FOLDER}own.json"), b"not read".to_vec());
        World { bucket, task, events, ended: BTreeSet::new(), _dir: dir }
    }

    impl World {
        async fn take_over(&self) -> Result<Left> {
            let eyes = Eyes { here: Machine::here(), ended: self.ended.clone(), clock: paused };
            let left = Mutex::default();
            let knows: Outlived = Box::new(|_| false);
            take_over(&self.task, &self.bucket, FOLDER, &RunId::named("own"), (&eyes, &knows), &left).await?;
            Ok(left.into_inner().unwrap())
        }

        fn is_left(&self) -> bool {
            self.bucket.with(|content| content.objects.contains_key(KEY))
        }

        /// The texts of progress, and how often a claim was recorded.
        async fn seen(mut self) -> (Vec<String>, usize) {
            drop(self.task);
            let (mut texts, mut claims) = (Vec::new(), 0);
            while let Some(event) = self.events.recv().await {
                match event {
                    Event::StepProgress { text, .. } => texts.push(text),
                    Event::Claimed { claim: found, .. } if found == claim() => claims += 1,
                    _ => {}
                }
            }
            (texts, claims)
        }
    }

    fn ours() -> Left {
        Left::from([(step(), BTreeSet::from([claim()]))])
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_elsewhere_that_stays_silent_is_dead_and_its_claims_are_taken_over() {
        let world = world(&record(elsewhere(), 7, Vec::new()));
        let started = Instant::now();
        assert_eq!(world.take_over().await.unwrap(), ours());
        assert_eq!(started.elapsed(), SILENCE + MARGIN);
        assert!(!world.is_left());
        let (texts, claims) = world.seen().await;
        let waiting = "waiting for run dead (`paydeploy up --region spain` on runner-7, process 7): it counts as dead if \
                       it stays silent for 3m 00s";
        assert_eq!((texts[0].as_str(), claims), (waiting, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_elsewhere_that_ended_in_order_is_not_waited_for() {
        let world = world(&Mirrored { ended: true, ..record(elsewhere(), 7, Vec::new()) });
        let started = Instant::now();
        assert_eq!(world.take_over().await.unwrap(), ours());
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    /// The only region's bucket.
    impl Buckets for Memory {
        type Bucket = Self;

        fn of(&self, _region: &RegionName) -> Option<(Self, String)> {
            Some((self.clone(), FOLDER.to_owned()))
        }
    }

    #[tokio::test]
    async fn what_was_taken_over_is_passed_on_although_the_answer_to_the_deletion_was_lost() {
        let dir = tempfile::tempdir().unwrap();
        let (mut cx, _events) = testing::context(dir.path());
        cx.task.step = step();
        let bucket = Memory::default();
        bucket.write(KEY, serde_json::to_vec(&record(Machine::here(), NOBODY, Vec::new())).unwrap());
        bucket.with(|content| content.lost_deletions = 1);
        let others = Others::new(RunId::named("own"), Earlier::default(), bucket.clone());
        assert_eq!(others.pass(&cx).await.unwrap_err().class, task::Class::Transient);
        assert!(bucket.with(|content| content.objects.is_empty()));
        assert_eq!(others.pass(&cx).await.unwrap(), [claim()]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_of_this_folder_has_ended_although_the_machine_was_rebooted() {
        let mut world = world(&record(elsewhere(), 7, Vec::new()));
        world.ended.insert(RunId::named("dead"));
        let started = Instant::now();
        assert_eq!(world.take_over().await.unwrap(), ours());
        assert_eq!((started.elapsed(), world.is_left()), (Duration::ZERO, false));
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_elsewhere_with_a_heartbeat_is_left_alone() {
        let mut mirrored = record(elsewhere(), 7, Vec::new());
        let world = world(&mirrored);
        let bucket = world.bucket.clone();
        let beats = tokio::spawn(async move {
            loop {
                tokio::time::sleep(super::super::mirror::BEAT).await;
                mirrored.beat += 1;
                bucket.write(KEY, serde_json::to_vec(&mirrored).unwrap());
            }
        });
        let started = Instant::now();
        assert_eq!(world.take_over().await.unwrap(), Left::new());
        assert!(started.elapsed() < SILENCE);
        assert!(world.is_left());
        beats.abort();
        assert_eq!(world.seen().await.1, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_elsewhere_that_falls_silent_late_is_watched_for_the_whole_time() {
        let world = world(&record(elsewhere(), 7, Vec::new()));
        let bucket = world.bucket.clone();
        let last = tokio::spawn(async move {
            tokio::time::sleep(SILENCE + Duration::from_secs(119)).await;
            bucket.write(KEY, b"{}".to_vec());
        });
        assert_eq!(world.take_over().await.unwrap(), Left::new());
        assert!(world.is_left());
        last.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_on_this_machine_is_decided_by_its_process() {
        let dead = world(&record(Machine::here(), NOBODY, Vec::new()));
        let started = Instant::now();
        assert_eq!(dead.take_over().await.unwrap(), ours());
        let alive = world(&record(Machine::here(), std::process::id(), Vec::new()));
        assert_eq!(alive.take_over().await.unwrap(), Left::new());
        assert!(alive.is_left() && !dead.is_left());
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_that_outlived_a_dead_owner_is_waited_for() {
        let mut sleep = Command::new("sleep").arg("300").spawn().unwrap();
        let pid = sleep.id();
        let start = start_time(pid).unwrap();
        let child = Child { step: step(), pid, start, command: "terraform apply".to_owned() };
        let world = world(&record(Machine::here(), NOBODY, vec![child]));
        let started = Instant::now();
        let ends = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(42)).await;
            sleep.kill().unwrap();
            sleep.wait().unwrap();
        });
        assert_eq!(world.take_over().await.unwrap(), ours());
        assert!(started.elapsed() >= Duration::from_secs(42));
        ends.await.unwrap();
        assert!(world.seen().await.0[0].starts_with("waiting for `terraform apply` (process "));
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_cannot_be_read_stops_the_step_with_a_fix() {
        let world = world(&record(elsewhere(), 7, Vec::new()));
        world.bucket.write(KEY, b"{\"schema\": 9}".to_vec());
        let error = world.take_over().await.unwrap_err();
        assert!(error.hint.unwrap().starts_with("use the newer paydeploy"));
        assert!(world.is_left());
    }
}
