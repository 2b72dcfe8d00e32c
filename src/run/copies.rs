//! A copy of this run's journal in the state bucket of each region that it changes, for operators on other machines.
//!
//! 1. The copy of a region starts with the first effect of a step there; of the hub, also with one of what all regions
//!    share. Then it has what the journal has of the region's own steps, of steps that belong to no region, and of the run.
//! 2. A copy is written as a whole, every [`BEAT`] if it has grown, and a last time at the end. No step waits for that, and
//!    a failure is made up for by the next write: what must not get lost is in the record (`mirror`).
//! 3. A short run in which nothing changed or failed is not worth a copy, such as a `down` that finds nothing.
//! 4. It is deleted after a month (`aws::bucket`), and is read by `history`.
//!
//! What a step of one region did is not in the copy of another one, nor what steps without a region say of the regions:
//! data of a region stays there. Progress is left out.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use super::mirror::{BEAT, LAST_WRITE};
use crate::{
    config::Config,
    state::{Header, Record, line},
    step::{Event, Phase, PlannedStep, RegionName, Result, RunId, StepId, Verdict, World},
};

/// The folder of the copies in a region's state bucket.
pub(super) fn folder(config: &Config, region: &RegionName) -> String {
    format!("{}/{region}/paydeploy/journals/", config.project)
}

/// The key of a copy.
pub(super) fn key(config: &Config, region: &RegionName, run: &RunId) -> String {
    format!("{}{run}.ndjson", folder(config, region))
}

/// Where copies are kept: the regions' buckets, or a test's memory.
pub(super) trait Shelf: Clone + Send + Sync + 'static {
    fn put(&self, region: &RegionName, run: &RunId, body: Vec<u8>)
    -> impl Future<Output = Result<()>> + Send;
}

impl Shelf for Arc<World> {
    async fn put(&self, region: &RegionName, run: &RunId, body: Vec<u8>) -> Result<()> {
        let Some(bucket) = self.records(region) else { return Ok(()) };
        bucket.put_for_a_month(&key(&self.config, region, run), body).await
    }
}

/// A line for a copy, and whether somebody should learn of it even if the run ends soon.
type Line = (Vec<u8>, bool);

/// Writes a region's copy, from a first text on, until its channel ends.
type StartWriter =
    Box<dyn Fn(RegionName, Vec<u8>, mpsc::UnboundedReceiver<Line>) -> BoxFuture<'static, ()> + Send>;

/// The copies of a run's journal.
pub(super) struct Copies {
    writer: StartWriter,
    hub: RegionName,
    header: Vec<u8>,
    /// The start of the run, which names all its steps. Each copy gets those of its region.
    started: Option<Record>,
    /// Everything so far, for a copy that starts later: with the region that it belongs to.
    lines: Vec<(Option<RegionName>, Vec<u8>)>,
    regions: BTreeMap<RegionName, mpsc::UnboundedSender<Line>>,
    writers: JoinSet<()>,
}

impl Copies {
    pub fn new(shelf: impl Shelf, header: &Header, hub: RegionName) -> Self {
        let run = header.run.clone();
        // Strings and numbers: it cannot fail.
        let header = line(header).unwrap_or_default();
        let writer: StartWriter = Box::new(move |region, text, inbox| {
            Box::pin(write(shelf.clone(), region, run.clone(), text, inbox))
        });
        let (regions, writers) = (BTreeMap::new(), JoinSet::new());
        Self { writer, hub, header, started: None, lines: Vec::new(), regions, writers }
    }

    /// Adds an event that the journal was given.
    pub fn note(&mut self, at: Timestamp, event: &Event) {
        let says_what_regions_have = match event {
            Event::InventoryTaken { .. } | Event::OrphanFound { .. } => true,
            Event::StepWarned { step, .. } | Event::StepRetry { step, .. } => step.region.is_none(),
            _ => false,
        };
        if says_what_regions_have || matches!(event, Event::StepProgress { .. }) {
            return;
        }
        let record = Record { at, event: event.clone() };
        if let Event::RunStarted { .. } = event {
            self.started = Some(record);
            return;
        }
        let Ok(text) = line(&record) else { return };
        let region = event.step().and_then(|step| step.region.clone());
        for (name, copy) in &self.regions {
            if region.as_ref().is_none_or(|region| region == name) {
                // Its task ends only after the channel.
                drop(copy.send((text.clone(), is_notable(event))));
            }
        }
        self.lines.push((region.clone(), text));
        let Event::EffectStarted { step } = event else { return };
        // An image is built on this machine; anything else without a region is on the hub.
        let shared = || (step.phase != Phase::Docker).then(|| self.hub.clone());
        if let Some(region) = region.or_else(shared)
            && !self.regions.contains_key(&region)
        {
            self.start(region);
        }
    }

    fn start(&mut self, region: RegionName) {
        let mut text = self.header.clone();
        if let Some(Record { at, event: Event::RunStarted { run, command, headline, steps } }) = &self.started
        {
            let is_its = |step: &StepId| step.region.as_ref().is_none_or(|other| *other == region);
            let event = Event::RunStarted {
                run: run.clone(),
                command: command.clone(),
                headline: headline.clone(),
                steps: steps
                    .iter()
                    .filter(|planned| is_its(&planned.step))
                    .map(|planned| PlannedStep {
                        needs: planned.needs.iter().filter(|need| is_its(need)).cloned().collect(),
                        ..planned.clone()
                    })
                    .collect(),
            };
            text.extend(line(&Record { at: *at, event }).unwrap_or_default());
        }
        let is_its = |one: &&(Option<RegionName>, _)| one.0.as_ref().is_none_or(|other| *other == region);
        text.extend(self.lines.iter().filter(is_its).flat_map(|(_, line)| line));
        let (copy, inbox) = mpsc::unbounded_channel();
        self.writers.spawn((self.writer)(region.clone(), text, inbox));
        self.regions.insert(region, copy);
    }

    /// Writes what is missing, when nothing more will happen.
    pub async fn finish(self) {
        drop(self.regions);
        drop(tokio::time::timeout(LAST_WRITE, self.writers.join_all()).await);
    }
}

fn is_notable(event: &Event) -> bool {
    match event {
        Event::StepFinished { verdict, .. } => {
            matches!(verdict, Verdict::Changed { .. } | Verdict::Deleted { .. } | Verdict::Failed { .. })
        }
        Event::Interrupted { .. } | Event::LeaseLost { .. } => true,
        _ => false,
    }
}

/// Writes the copy of one region until its channel ends.
async fn write(
    shelf: impl Shelf,
    region: RegionName,
    run: RunId,
    mut text: Vec<u8>,
    mut inbox: mpsc::UnboundedReceiver<Line>,
) {
    let mut tick = tokio::time::interval_at(Instant::now() + BEAT, BEAT);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut written, mut notable) = (0, false);
    loop {
        tokio::select! {
            biased;
            line = inbox.recv() => match line {
                Some((line, is_notable)) => {
                    text.extend(line);
                    notable |= is_notable;
                }
                None => break,
            },
            _ = tick.tick() => {
                if text.len() > written && shelf.put(&region, &run, text.clone()).await.is_ok() {
                    written = text.len();
                }
            }
        }
    }
    if text.len() > written && (notable || written > 0) {
        drop(shelf.put(&region, &run, text).await);
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Mutex, time::Duration};

    use super::*;
    use crate::{
        state::parse,
        step::{Action, Error},
    };

    #[derive(Default)]
    struct Kept {
        copies: BTreeMap<RegionName, Vec<u8>>,
        /// This many writes fail first.
        failures: u32,
        writes: u32,
    }

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Kept>>);

    impl Memory {
        fn failing(failures: u32) -> Self {
            let memory = Self::default();
            memory.0.lock().unwrap().failures = failures;
            memory
        }

        fn writes(&self) -> u32 {
            self.0.lock().unwrap().writes
        }

        /// The events of a region's copy; `None` if there is none.
        fn events(&self, region: &str) -> Option<Vec<Event>> {
            let kept = self.0.lock().unwrap();
            let copy = kept.copies.get(&name(region))?;
            let recorded = parse(Path::new("copy"), copy.as_slice()).unwrap();
            assert_eq!(recorded.header.run.as_str(), "one");
            Some(recorded.records.into_iter().map(|record| record.event).collect())
        }
    }

    impl Shelf for Memory {
        async fn put(&self, region: &RegionName, _run: &RunId, body: Vec<u8>) -> Result<()> {
            let mut kept = self.0.lock().unwrap();
            if kept.failures > 0 {
                kept.failures -= 1;
                return Err(Error::transient("slow down"));
            }
            kept.writes += 1;
            kept.copies.insert(region.clone(), body);
            Ok(())
        }
    }

    fn name(region: &str) -> RegionName {
        region.parse().unwrap()
    }

    fn cluster(region: &str) -> StepId {
        StepId::part(Phase::Terraform, &name(region), "cluster")
    }

    fn finished(step: StepId) -> Event {
        let verdict = Verdict::Changed { summary: "39 resources".to_owned() };
        Event::StepFinished { step, verdict, elapsed: Duration::ZERO }
    }

    fn effect(region: &str) -> Event {
        Event::EffectStarted { step: cluster(region) }
    }

    fn copies(shelf: &Memory) -> Copies {
        Copies::new(shelf.clone(), &Header::new(&RunId::named("one"), "up"), name("spain"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_region_has_a_copy_of_what_happened_in_it_and_of_what_belongs_to_no_region() {
        let shelf = Memory::default();
        let mut copies = copies(&shelf);
        let everywhere = finished(StepId::global(Phase::Docker, "build"));
        let end = Event::RunFinished { elapsed: Duration::ZERO, failed: Vec::new(), undone: 0 };
        let spain = finished(cluster("spain"));
        let events = [
            everywhere.clone(),
            effect("spain"),
            effect("mexico"),
            finished(cluster("mexico")),
            spain.clone(),
            end.clone(),
        ];
        for event in &events {
            copies.note(Timestamp::now(), event);
        }
        copies.finish().await;
        let expected = [everywhere.clone(), effect("spain"), spain, end.clone()];
        assert_eq!(shelf.events("spain").unwrap(), expected);
        let mexico = [everywhere, effect("mexico"), finished(cluster("mexico")), end];
        assert_eq!(shelf.events("mexico").unwrap(), mexico);
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_names_the_steps_of_its_own_region() {
        let shelf = Memory::default();
        let mut copies = copies(&shelf);
        let planned =
            |region: &str| PlannedStep { step: cluster(region), action: Action::Up, needs: Vec::new() };
        let started = |steps| Event::RunStarted {
            run: RunId::named("one"),
            command: "up".to_owned(),
            headline: String::new(),
            steps,
        };
        copies.note(Timestamp::now(), &started(vec![planned("spain"), planned("mexico")]));
        copies.note(Timestamp::now(), &effect("spain"));
        let interrupted = Event::Interrupted { forced: false };
        copies.note(Timestamp::now(), &interrupted);
        copies.finish().await;
        let expected = [started(vec![planned("spain")]), effect("spain"), interrupted];
        assert_eq!(shelf.events("spain").unwrap(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn what_all_regions_share_is_in_the_copy_of_the_hub() {
        let shelf = Memory::default();
        let mut copies = copies(&shelf);
        let manifests = StepId::global(Phase::Apps, "manifests");
        copies.note(Timestamp::now(), &Event::EffectStarted { step: StepId::global(Phase::Docker, "build") });
        assert!(copies.regions.is_empty());
        copies.note(Timestamp::now(), &Event::EffectStarted { step: manifests.clone() });
        copies.note(Timestamp::now(), &finished(manifests));
        copies.finish().await;
        assert!(shelf.events("spain").is_some() && shelf.events("mexico").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_changes_nothing_leaves_no_copy() {
        let shelf = Memory::default();
        let mut copies = copies(&shelf);
        // In a teardown, also a step that finds nothing starts an effect.
        copies.note(Timestamp::now(), &effect("spain"));
        let verdict = Verdict::Unchanged { summary: "nothing to delete".to_owned() };
        copies.note(
            Timestamp::now(),
            &Event::StepFinished { step: cluster("spain"), verdict, elapsed: Duration::ZERO },
        );
        copies.finish().await;
        assert_eq!(shelf.events("spain"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_is_written_while_the_run_works_and_only_if_it_has_grown() {
        let shelf = Memory::failing(1);
        let mut copies = copies(&shelf);
        copies.note(Timestamp::now(), &effect("spain"));
        tokio::time::sleep(BEAT * 5 / 2).await;
        assert_eq!(shelf.events("spain").unwrap(), [effect("spain")], "the write that failed is repeated");
        tokio::time::sleep(BEAT * 6).await;
        copies.finish().await;
        assert_eq!(shelf.writes(), 1);
    }
}
