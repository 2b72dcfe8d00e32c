//! Earlier runs: those of this folder by their journals, and those of other operators by the copies in the state buckets.
//!
//! A run of both is read here, where its journal is complete. What the copies of several regions say of one run is put
//! together in the order of time; what belongs to no region is in each of them, and counted once.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use futures::{StreamExt as _, future::join_all, stream};

use super::{Holders, Session, copies};
use crate::{
    state::{Header, Life, Machine, Record, Recorded, parse, read},
    step::{Action, Error, ErrorExt as _, Event, PlannedStep, RegionName, Result, RunId, StepId, Verdict},
};

/// What other operators did is an addition to what is known here, and must not delay it for long.
const DEADLINE: Duration = Duration::from_secs(20);
/// How many copies are read at a time.
const AT_A_TIME: usize = 16;

/// A run, and what is known of it.
#[derive(Debug)]
pub struct Past {
    pub recorded: Recorded,
    /// The regions whose buckets have a copy of it; empty for a run of this folder.
    pub copies: Vec<RegionName>,
}

/// Runs, the newest first.
#[derive(Debug, Default)]
pub struct History {
    pub runs: Vec<Past>,
    /// Regions and runs whose copies could not be read.
    pub unread: Vec<(String, Error)>,
    /// Runs of this folder whose journal is damaged, or of a newer paydeploy.
    pub damaged: Vec<(RunId, Error)>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    Running,
    Succeeded,
    /// It was to change nothing, such as `plan`, or the question before a `down`.
    Planned,
    /// Which steps failed.
    Failed(Vec<StepId>),
    Interrupted,
    /// It ended early without a failure: another run had the region, the deployment was newer, or an earlier phase had not
    /// run.
    Stopped,
    /// Nothing is known of its end: it was killed, or its machine was.
    Died,
    /// It has not ended, and whether it still runs cannot be read.
    Unknown,
}

impl Past {
    /// `holders` tells whether a run on another machine is at work.
    pub fn ending(&self, holders: &Holders) -> Ending {
        let Recorded { header, records, .. } = &self.recorded;
        let events = || records.iter().map(|record| &record.event);
        let end = events().find_map(|event| match event {
            Event::RunFinished { failed, undone, .. } => Some((failed, *undone)),
            _ => None,
        });
        let Some((failed, undone)) = end else {
            let holds = |holder: &Header| {
                (&holder.machine, holder.pid, holder.start) == (&header.machine, header.pid, header.start)
            };
            let is_holder = holders.values().flatten().flatten().any(|lease| holds(&lease.holder));
            return match header.machine.life(&Machine::here(), header.pid, header.start) {
                Life::Alive => Ending::Running,
                Life::Unknown if is_holder => Ending::Running,
                Life::Unknown if holders.values().any(Result::is_err) => Ending::Unknown,
                _ => Ending::Died,
            };
        };
        // An earlier version did not record them at the end.
        let recorded = events().filter_map(|event| match event {
            Event::StepFinished { step, verdict: Verdict::Failed { .. }, .. } => Some(step),
            _ => None,
        });
        let failed: BTreeSet<&StepId> = failed.iter().chain(recorded).collect();
        if events().any(|event| matches!(event, Event::LeaseLost { .. })) {
            Ending::Stopped
        } else if events().any(|event| matches!(event, Event::Interrupted { .. })) {
            Ending::Interrupted
        } else if !failed.is_empty() {
            Ending::Failed(failed.into_iter().cloned().collect())
        } else if undone > 0 {
            Ending::Stopped
        } else if self.planned().all(|planned| !matches!(planned.action, Action::Up | Action::Destroy)) {
            Ending::Planned
        } else {
            Ending::Succeeded
        }
    }

    fn planned(&self) -> impl Iterator<Item = &PlannedStep> {
        self.recorded.records.iter().flat_map(|record| match &record.event {
            Event::RunStarted { steps, .. } => steps.as_slice(),
            _ => &[],
        })
    }

    /// How long it took; `None` if that is not known.
    pub fn elapsed(&self) -> Option<Duration> {
        self.recorded.records.iter().find_map(|record| match record.event {
            Event::RunFinished { elapsed, .. } => Some(elapsed),
            _ => None,
        })
    }
}

impl Session {
    /// The newest runs in the chosen regions, at most so many.
    pub async fn history(&self, limit: usize) -> History {
        let mut history = History::default();
        let mut here = BTreeMap::new();
        // The newest first, so that what lies behind the limit need not be read.
        for run in self.store.runs().unwrap_or_default() {
            if here.len() == limit {
                break;
            }
            match read(&self.store.run(&run)) {
                Ok(recorded) => {
                    let past = Past { recorded, copies: Vec::new() };
                    if past.planned().any(|planned| self.is_chosen(&planned.step)) {
                        here.insert(run, past);
                    }
                }
                Err(error) => history.damaged.push((run, Error::permanent(error))),
            }
        }
        let (elsewhere, unread) = self.copied().await;
        history.unread = unread;
        let mut all: BTreeMap<RunId, Vec<RegionName>> =
            here.keys().map(|run| (run.clone(), Vec::new())).collect();
        all.extend(elsewhere.into_iter().filter(|(run, _)| !self.store.run(run).exists()));
        let newest: Vec<(RunId, Vec<RegionName>)> = all.into_iter().rev().take(limit).collect();
        let copies = newest.iter().filter(|(_, regions)| !regions.is_empty());
        let asked = stream::iter(copies).map(async |(run, regions)| (run, self.copy_of(run, regions).await));
        let answers: Vec<(&RunId, Result<Past>)> = asked.buffered(AT_A_TIME).collect().await;
        let mut answers: BTreeMap<&RunId, Result<Past>> = answers.into_iter().collect();
        for (run, _) in &newest {
            match here.remove(run).map(Ok).or_else(|| answers.remove(run)) {
                Some(Ok(past)) => history.runs.push(past),
                Some(Err(error)) => history.unread.push((format!("run {run}"), error)),
                None => {}
            }
        }
        history
    }

    /// The run of another operator whose id starts so, or how many there are; and where it could not be searched for.
    pub async fn copy_with(
        &self,
        prefix: &str,
    ) -> (std::result::Result<Result<Past>, usize>, Vec<(String, Error)>) {
        let (copied, unread) = self.copied().await;
        let matching: Vec<_> = copied.iter().filter(|(run, _)| run.as_str().starts_with(prefix)).collect();
        let found = match matching.as_slice() {
            [(run, regions)] => Ok(self.copy_of(run, regions).await),
            several => Err(several.len()),
        };
        (found, unread)
    }

    /// The runs that have copies, and in which regions. A run keeps its own journal while it works, so that those of this
    /// folder are among them.
    async fn copied(&self) -> (BTreeMap<RunId, Vec<RegionName>>, Vec<(String, Error)>) {
        let listed = join_all(self.chosen().iter().map(async |region| {
            let listed = tokio::time::timeout(DEADLINE, self.copies_in(region)).await;
            let late = || Err(Error::transient("its state bucket does not answer"));
            (region, listed.unwrap_or_else(|_| late()))
        }))
        .await;
        let (mut runs, mut unread) = (BTreeMap::<RunId, Vec<RegionName>>::new(), Vec::new());
        for (region, listed) in listed {
            match listed {
                Ok(found) => {
                    for run in found {
                        runs.entry(run).or_default().push(region.clone());
                    }
                }
                Err(error) => unread.push((format!("region `{region}`"), error)),
            }
        }
        (runs, unread)
    }

    async fn copies_in(&self, region: &RegionName) -> Result<Vec<RunId>> {
        let Some(bucket) = self.world.records(region) else { return Ok(Vec::new()) };
        let keys = bucket.list(&copies::folder(self.config(), region)).await?;
        let named = |key: &String| Some(RunId::named(key.rsplit('/').next()?.strip_suffix(".ndjson")?));
        Ok(keys.iter().filter_map(named).collect())
    }

    async fn copy_of(&self, run: &RunId, regions: &[RegionName]) -> Result<Past> {
        let read = regions.iter().map(async |region| -> Result<Option<Recorded>> {
            let Some(bucket) = self.world.records(region) else { return Ok(None) };
            let key = copies::key(self.config(), region, run);
            // It may have expired since it was listed.
            let Some(object) = bucket.get(&key).await? else { return Ok(None) };
            Ok(Some(parse(Path::new(&key), object.body.as_slice())?))
        });
        let read = tokio::time::timeout(DEADLINE, join_all(read)).await;
        let late = |_| Error::transient("the state buckets do not answer");
        let found = read.map_err(late)?.into_iter().collect::<Result<Vec<_>>>();
        let found = found.doing(format!("read the copies of run {run}"))?;
        let recorded = merged(found.into_iter().flatten());
        let recorded =
            recorded.ok_or_else(|| Error::permanent(format!("the copies of run {run} have expired")))?;
        Ok(Past { recorded, copies: regions.to_vec() })
    }
}

/// One journal of the copies of several regions; `None` without any.
fn merged(copies: impl Iterator<Item = Recorded>) -> Option<Recorded> {
    let mut all = copies.reduce(|mut all, copy| {
        all.records.extend(copy.records);
        all.unknown.extend(copy.unknown);
        all.torn += copy.torn;
        all
    })?;
    // Stable, so that what happened at the same time stays in the order of its own copy.
    all.records.sort_by_key(|record| record.at);
    let mut once: Vec<Record> = Vec::new();
    for record in all.records {
        let same = once.iter().rev().take_while(|one| one.at == record.at);
        if !same.into_iter().any(|one| one.event == record.event) {
            once.push(record);
        }
    }
    all.records = once;
    Some(all)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{lease::Lease, step::Phase};

    fn step(region: &str) -> StepId {
        StepId::part(Phase::Terraform, &region.parse().unwrap(), "cluster")
    }

    fn finished(step: StepId, verdict: Verdict) -> Event {
        Event::StepFinished { step, verdict, elapsed: Duration::ZERO }
    }

    fn changed() -> Verdict {
        Verdict::Changed { summary: "39 resources".to_owned() }
    }

    fn end_with(failed: Vec<StepId>, undone: usize) -> Event {
        Event::RunFinished { elapsed: Duration::from_secs(170), failed, undone }
    }

    fn started(action: Action) -> Event {
        let step = PlannedStep { step: step("spain"), action, needs: Vec::new() };
        Event::RunStarted {
            run: RunId::named("one"),
            command: "up".to_owned(),
            headline: String::new(),
            steps: vec![step],
        }
    }

    fn end() -> Event {
        end_with(Vec::new(), 0)
    }

    /// What a run elsewhere recorded, one event per second.
    fn recorded(events: impl IntoIterator<Item = (i64, Event)>) -> Recorded {
        let mut header = Header::new(&RunId::named("one"), "up");
        header.machine.boot = "another".to_owned();
        let record = |(at, event)| Record { at: Timestamp::from_second(at).unwrap(), event };
        Recorded { header, records: events.into_iter().map(record).collect(), unknown: Vec::new(), torn: 0 }
    }

    fn past(events: impl IntoIterator<Item = Event>) -> Past {
        Past { recorded: recorded((0..).zip(events)), copies: Vec::new() }
    }

    #[test]
    fn the_copies_of_two_regions_are_one_run_in_the_order_of_time() {
        let start = Event::StepStarted { step: StepId::global(Phase::Preflight, "account") };
        let spain = finished(step("spain"), changed());
        let mexico = finished(step("mexico"), changed());
        let of_spain = recorded([(1, start.clone()), (3, spain.clone()), (4, end())]);
        let of_mexico = recorded([(1, start.clone()), (2, mexico.clone()), (4, end())]);
        let merged = merged([of_spain, of_mexico].into_iter()).unwrap();
        let events: Vec<Event> = merged.records.into_iter().map(|record| record.event).collect();
        assert_eq!(events, [start, mexico, spain, end()]);
    }

    #[test]
    fn a_run_ended_as_its_events_say() {
        let failed = Verdict::Failed {
            class: crate::step::Class::Permanent,
            chain: Vec::new(),
            fix: None,
            attempts: 1,
        };
        let failed = finished(step("spain"), failed);
        let interrupted = Event::Interrupted { forced: false };
        let lost = Event::LeaseLost { why: "removed".to_owned() };
        let ending = |events: &[Event]| {
            past([started(Action::Up)].into_iter().chain(events.to_vec())).ending(&Holders::new())
        };
        assert_eq!(ending(&[finished(step("spain"), changed()), end()]), Ending::Succeeded);
        // The copy of a region does not have the steps of another one.
        assert_eq!(ending(&[end_with(vec![step("mexico")], 3)]), Ending::Failed(vec![step("mexico")]));
        // Refused, or after another run, or without an earlier phase.
        assert_eq!(ending(&[end_with(Vec::new(), 3)]), Ending::Stopped);
        assert_eq!(past([started(Action::PlanDestroy), end()]).ending(&Holders::new()), Ending::Planned);
        assert_eq!(ending(&[failed.clone(), end()]), Ending::Failed(vec![step("spain")]));
        assert_eq!(ending(&[interrupted.clone(), end()]), Ending::Interrupted);
        assert_eq!(ending(&[lost, interrupted, end()]), Ending::Stopped);
    }

    #[test]
    fn a_run_elsewhere_without_an_end_is_running_as_long_as_its_process_has_a_lease() {
        let run = past([]);
        let lease = |pid| {
            let holder = Header { pid, ..run.recorded.header.clone() };
            let lease = Lease { id: String::new(), holder, beat: 1, removes: false };
            Holders::from([("spain".parse().unwrap(), Ok(Some(lease)))])
        };
        let pid = run.recorded.header.pid;
        assert_eq!(run.ending(&lease(pid)), Ending::Running);
        assert_eq!(run.ending(&lease(pid + 1)), Ending::Died);
        assert_eq!(run.ending(&Holders::new()), Ending::Died);
        let unread = Holders::from([("spain".parse().unwrap(), Err(Error::transient("slow down")))]);
        assert_eq!(run.ending(&unread), Ending::Unknown);
    }
}
