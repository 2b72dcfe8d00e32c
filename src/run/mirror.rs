//! The open claims of this run, mirrored to each region's state bucket.
//!
//! A CI container that is cancelled loses its disk and with it the journal. So what is open in a region is also kept
//! beside its Terraform state, as `PROJECT/REGION/paydeploy/runs/RUN.json`, without secrets:
//!
//! 1. A claim is acknowledged to its step only after the object has it, so before the effect. The same holds for a
//!    child that starts while a claim is open: on the same machine, its end has to be waited for.
//! 2. While a claim is open the object is rewritten every [`BEAT`], which tells other machines that the owner lives
//!    (`others`). What was released disappears with the next write.
//! 3. When nothing is open, the object is deleted. What a run leaves open at its end stays in it, with a mark that the run
//!    has ended: nobody has to wait for proof of that.
//!
//! Before the bucket exists there is nothing to mirror to, and nothing to repair: only `terraform/REGION/state` runs.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    future::Future,
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::MissedTickBehavior,
};

use crate::{
    aws::objects::{Object, Objects},
    config::Config,
    state::{Header, Unfinished},
    step::{Error, ErrorExt as _, Event, RegionName, Result, StepId, World},
    task::Claim,
};

/// Far shorter than the silence that others take for death, so that several writes may fail.
pub(super) const BEAT: Duration = Duration::from_secs(10);
/// How long the end of a run waits for the last writes. What they would say, the next run finds out by itself.
pub(super) const LAST_WRITE: Duration = Duration::from_secs(10);

/// What the object holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Mirrored {
    #[serde(flatten)]
    pub header: Header,
    /// Makes each write different from the one before.
    pub beat: u64,
    pub children: Vec<Child>,
    pub claims: Vec<Held>,
    /// The run and its children have ended. An older paydeploy does not write it, and waits.
    #[serde(default)]
    pub ended: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Child {
    pub step: StepId,
    pub pid: u32,
    pub start: u64,
    pub command: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    pub step: StepId,
    pub claim: Claim,
}

/// The folder of a region's records in its state bucket, beside its states.
fn folder(config: &Config, region: &RegionName) -> String {
    format!("{}/{region}/paydeploy/runs/", config.project)
}

/// Where records are kept: a bucket, or a test's memory.
pub(super) trait Bucket: Send + Sync + 'static {
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<String>>> + Send;
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Object>>> + Send;
    /// The mark of what was written; `None` if the bucket does not exist.
    fn put(&self, key: &str, body: Vec<u8>) -> impl Future<Output = Result<Option<String>>> + Send;
    fn delete(&self, key: &str, etag: &str) -> impl Future<Output = Result<()>> + Send;
}

impl Bucket for Objects {
    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        Self::list(self, prefix).await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>> {
        Self::get(self, key).await
    }

    async fn put(&self, key: &str, body: Vec<u8>) -> Result<Option<String>> {
        Self::put(self, key, body).await
    }

    async fn delete(&self, key: &str, etag: &str) -> Result<()> {
        Self::delete(self, key, etag).await
    }
}

/// The state buckets of all regions.
pub(super) trait Buckets: Send + Sync + 'static {
    type Bucket: Bucket;

    /// A region's bucket and the folder of its records; `None` if the region is not configured.
    fn of(&self, region: &RegionName) -> Option<(Self::Bucket, String)>;
}

impl Buckets for Arc<World> {
    type Bucket = Objects;

    fn of(&self, region: &RegionName) -> Option<(Objects, String)> {
        Some((self.records(region)?, folder(&self.config, region)))
    }
}

/// An event to mirror, and the step that waits for it.
type Note = (Event, Option<oneshot::Sender<Result<()>>>);

/// Writes a region's object until its channel ends; `None` if the region is not configured.
type StartWriter =
    Box<dyn Fn(&RegionName, mpsc::UnboundedReceiver<Note>) -> Option<BoxFuture<'static, ()>> + Send>;

/// The writers of all regions, each started by its first event.
pub(super) struct Mirror {
    start: StartWriter,
    regions: BTreeMap<RegionName, mpsc::UnboundedSender<Note>>,
    writers: JoinSet<()>,
}

impl Mirror {
    pub fn new(buckets: impl Buckets, header: Header) -> Self {
        let start: StartWriter = Box::new(move |region, inbox| {
            let (bucket, folder) = buckets.of(region)?;
            let key = format!("{folder}{}.json", header.run);
            Some(Box::pin(Writer::new(bucket, key, header.clone()).serve(inbox)))
        });
        Self { start, regions: BTreeMap::new(), writers: JoinSet::new() }
    }

    /// Mirrors an event that is on disk, and then acknowledges it.
    pub fn note(&mut self, event: &Event, recorded: Option<oneshot::Sender<Result<()>>>) {
        let region = match event {
            Event::Claimed { step, .. }
            | Event::Released { step, .. }
            | Event::ChildStarted { step, .. }
            | Event::ChildEnded { step, .. } => step.region.as_ref(),
            _ => None,
        };
        let Some(region) = region else {
            acknowledge(recorded, Ok(()));
            return;
        };
        let writer = match self.regions.entry(region.clone()) {
            Entry::Occupied(writer) => writer.into_mut(),
            Entry::Vacant(entry) => {
                let (sender, inbox) = mpsc::unbounded_channel();
                let Some(writer) = (self.start)(region, inbox) else {
                    acknowledge(recorded, Ok(()));
                    return;
                };
                self.writers.spawn(writer);
                entry.insert(sender)
            }
        };
        // A writer ends only after its channel. If it panicked, the step gets an error, as it must.
        drop(writer.send((event.clone(), recorded)));
    }

    /// Writes what remains, when nothing more will happen.
    pub async fn finish(self) {
        drop(self.regions);
        drop(tokio::time::timeout(LAST_WRITE, self.writers.join_all()).await);
    }
}

fn acknowledge(recorded: Option<oneshot::Sender<Result<()>>>, result: Result<()>) {
    if let Some(recorded) = recorded {
        // A hard cancel may have dropped the step that waits.
        drop(recorded.send(result));
    }
}

/// Writes one region's object.
struct Writer<B> {
    bucket: B,
    key: String,
    header: Header,
    open: Unfinished,
    beat: u64,
    /// The mark of the object, if there is one.
    written: Option<String>,
    ended: bool,
}

impl<B: Bucket> Writer<B> {
    fn new(bucket: B, key: String, header: Header) -> Self {
        Self { bucket, key, header, open: Unfinished::default(), beat: 0, written: None, ended: false }
    }

    async fn serve(mut self, mut inbox: mpsc::UnboundedReceiver<Note>) {
        let mut tick = tokio::time::interval(BEAT);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Events first: a step waits for them, and a write is a heartbeat as well.
            tokio::select! {
                biased;
                note = inbox.recv() => {
                    let Some(note) = note else { break };
                    // All that wait are written together: the stacks of a region start at the same time.
                    let mut notes = vec![note];
                    while let Ok(note) = inbox.try_recv() {
                        notes.push(note);
                    }
                    self.take(notes).await;
                }
                _ = tick.tick() => self.refresh().await,
            }
        }
        // The inbox is closed: nothing of this run will act any more.
        self.ended = self.open.children.is_empty();
        self.refresh().await;
    }

    async fn take(&mut self, notes: Vec<Note>) {
        let mut waiting = Vec::new();
        let mut urgent = false;
        for (event, recorded) in notes {
            self.open.take(&event);
            urgent |= recorded.is_some();
            waiting.extend(recorded);
        }
        // Without a claim a child leaves nothing that would have to be repaired.
        if !urgent || self.open.claims.is_empty() {
            for recorded in waiting {
                acknowledge(Some(recorded), Ok(()));
            }
            return;
        }
        let result = self.write().await;
        for recorded in waiting {
            acknowledge(Some(recorded), result.as_ref().copied().map_err(Error::copy));
        }
    }

    /// The heartbeat, and what nobody waits for. A failure is made up for by the next one.
    async fn refresh(&mut self) {
        if !self.open.claims.is_empty() {
            drop(self.write().await);
        } else if let Some(etag) = &self.written
            && self.bucket.delete(&self.key, etag).await.is_ok()
        {
            self.written = None;
        }
    }

    async fn write(&mut self) -> Result<()> {
        self.beat += 1;
        let children = self.open.children.iter().map(|(pid, (step, start, command))| Child {
            step: step.clone(),
            pid: *pid,
            start: *start,
            command: command.clone(),
        });
        let claims = self.open.claims.iter().flat_map(|(step, claims)| {
            claims.iter().map(|claim| Held { step: step.clone(), claim: claim.clone() })
        });
        let mirrored = Mirrored {
            header: self.header.clone(),
            beat: self.beat,
            children: children.collect(),
            claims: claims.collect(),
            ended: self.ended,
        };
        let put = self.bucket.put(&self.key, serde_json::to_vec(&mirrored)?).await;
        self.written = put.doing("record in the state bucket what this run holds")?;
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod testing {
    use std::{
        collections::BTreeMap,
        sync::{Arc, Mutex},
    };

    use super::{Bucket, Object, Result};
    use crate::{aws::objects::Condition, step::Error};

    /// A bucket in memory.
    #[derive(Debug, Clone, Default)]
    pub struct Memory(Arc<Mutex<Content>>);

    #[derive(Debug, Default)]
    pub struct Content {
        pub objects: BTreeMap<String, Object>,
        pub writes: u32,
        pub is_down: bool,
        /// The answers to this many deletions are lost.
        pub lost_deletions: u32,
    }

    impl Memory {
        pub fn with<T>(&self, work: impl FnOnce(&mut Content) -> T) -> T {
            work(&mut self.0.lock().unwrap())
        }

        pub fn write(&self, key: &str, body: Vec<u8>) -> String {
            self.with(|content| {
                content.writes += 1;
                let etag = content.writes.to_string();
                content.objects.insert(key.to_owned(), Object { etag: etag.clone(), body });
                etag
            })
        }

        /// Writes an object if the condition holds, and returns its mark.
        pub fn write_if(&self, key: &str, body: Vec<u8>, condition: Condition<'_>) -> Option<String> {
            let found = self.object(key).map(|object| object.etag);
            let holds = match condition {
                Condition::Missing => found.is_none(),
                Condition::Is(etag) => found.as_deref() == Some(etag),
            };
            holds.then(|| self.write(key, body))
        }

        pub fn keys(&self) -> Vec<String> {
            self.with(|content| content.objects.keys().cloned().collect())
        }

        pub fn object(&self, key: &str) -> Option<Object> {
            self.with(|content| content.objects.get(key).cloned())
        }

        /// Deletes an object, unless it has changed.
        pub fn remove(&self, key: &str, etag: &str) {
            self.with(|content| {
                if content.objects.get(key).is_some_and(|object| object.etag == etag) {
                    content.objects.remove(key);
                }
            });
        }

        fn up(&self) -> Result<()> {
            if self.with(|content| content.is_down) { Err(Error::transient("slow down")) } else { Ok(()) }
        }
    }

    impl Bucket for Memory {
        async fn list(&self, prefix: &str) -> Result<Vec<String>> {
            self.up()?;
            Ok(self.keys().into_iter().filter(|key| key.starts_with(prefix)).collect())
        }

        async fn get(&self, key: &str) -> Result<Option<Object>> {
            self.up()?;
            Ok(self.object(key))
        }

        async fn put(&self, key: &str, body: Vec<u8>) -> Result<Option<String>> {
            self.up()?;
            Ok(Some(self.write(key, body)))
        }

        async fn delete(&self, key: &str, etag: &str) -> Result<()> {
            self.up()?;
            self.remove(key, etag);
            self.with(|content| {
                if content.lost_deletions > 0 {
                    content.lost_deletions -= 1;
                    return Err(Error::transient("the answer was lost"));
                }
                Ok(())
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::Memory, *};
    use crate::step::{Class, Phase, RunId};

    const KEY: &str = "payments/spain/paydeploy/runs/one.json";

    fn step() -> StepId {
        StepId::part(Phase::Terraform, &"spain".parse().unwrap(), "cluster")
    }

    fn claim() -> Claim {
        Claim::Probe { application: "paydeploy-probe-spain".to_owned() }
    }

    fn claimed() -> Event {
        Event::Claimed { step: step(), claim: claim() }
    }

    fn released() -> Event {
        Event::Released { step: step(), claim: claim() }
    }

    struct Open {
        bucket: Memory,
        sender: mpsc::UnboundedSender<Note>,
        writer: tokio::task::JoinHandle<()>,
    }

    fn open() -> Open {
        let (bucket, (sender, inbox)) = (Memory::default(), mpsc::unbounded_channel());
        let header = Header::new(&RunId::named("one"), "up");
        let writer = tokio::spawn(Writer::new(bucket.clone(), KEY.to_owned(), header).serve(inbox));
        Open { bucket, sender, writer }
    }

    impl Open {
        async fn record(&self, event: Event) -> Result<()> {
            let (recorded, done) = oneshot::channel();
            self.sender.send((event, Some(recorded))).unwrap();
            done.await.unwrap()
        }

        fn mirrored(&self) -> Option<Mirrored> {
            let object = self.bucket.object(KEY);
            object.map(|object| serde_json::from_slice(&object.body).unwrap())
        }

        fn writes(&self) -> u32 {
            self.bucket.with(|content| content.writes)
        }

        async fn end(self) -> Memory {
            drop(self.sender);
            self.writer.await.unwrap();
            self.bucket
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_is_in_the_bucket_when_its_step_may_go_on() {
        let open = open();
        open.record(claimed()).await.unwrap();
        let mirrored = open.mirrored().unwrap();
        assert_eq!(mirrored.claims, [Held { step: step(), claim: claim() }]);
        assert_eq!((mirrored.header.run.as_str(), mirrored.header.pid), ("one", std::process::id()));
        // So is a child that starts while the claim is open.
        let started =
            Event::ChildStarted { step: step(), pid: 7, start: 70, command: "terraform".to_owned() };
        open.record(started).await.unwrap();
        assert_eq!(open.mirrored().unwrap().children[0].pid, 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_whose_claim_cannot_be_written_gets_the_error() {
        let open = open();
        open.bucket.with(|content| content.is_down = true);
        let error = open.record(claimed()).await.unwrap_err();
        assert_eq!(error.class, Class::Transient);
        assert!(error.to_string().starts_with("failed to record in the state bucket"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_claim_has_a_heartbeat_which_ends_with_it() {
        let open = open();
        open.record(claimed()).await.unwrap();
        let first = open.writes();
        tokio::time::sleep(BEAT * 6).await;
        let beats = open.writes() - first;
        assert!((5..=7).contains(&beats), "{beats} writes in six intervals");
        open.sender.send((released(), None)).unwrap();
        tokio::time::sleep(BEAT * 2).await;
        assert!(open.mirrored().is_none());
        let last = open.writes();
        tokio::time::sleep(BEAT * 6).await;
        assert_eq!(open.writes(), last);
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_of_a_run_only_what_is_still_open_remains() {
        let closed = open();
        closed.record(claimed()).await.unwrap();
        closed.sender.send((released(), None)).unwrap();
        assert!(closed.end().await.with(|content| content.objects.is_empty()));

        let left = open();
        left.record(claimed()).await.unwrap();
        assert!(!left.mirrored().unwrap().ended);
        let bucket = left.end().await;
        let object = bucket.object(KEY).unwrap();
        assert!(serde_json::from_slice::<Mirrored>(&object.body).unwrap().ended);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_leaves_a_child_behind_has_not_ended_for_others() {
        let left = open();
        left.record(claimed()).await.unwrap();
        let started =
            Event::ChildStarted { step: step(), pid: 7, start: 70, command: "terraform".to_owned() };
        left.record(started).await.unwrap();
        let bucket = left.end().await;
        let object = bucket.object(KEY).unwrap();
        assert!(!serde_json::from_slice::<Mirrored>(&object.body).unwrap().ended);
    }

    #[tokio::test(start_paused = true)]
    async fn children_alone_are_not_written() {
        let open = open();
        let started = Event::ChildStarted { step: step(), pid: 7, start: 70, command: "git".to_owned() };
        open.record(started).await.unwrap();
        tokio::time::sleep(BEAT * 6).await;
        assert_eq!(open.writes(), 0);
    }
}
