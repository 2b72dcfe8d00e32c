//! `up` and `down` of one process, with all that is real: the folder's lock, the leases, what earlier runs left, the journal,
//! the mirror, the owner's loop, the engine and the taking over of what others left.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures::{Stream, StreamExt as _, stream};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    bucket::Reached,
    process::{End, Place, Process, Run, When},
    steps,
    world::{Hand, World},
};
use crate::{
    engine::{self, Facts, Graph, Orders, Outcome},
    lease::{Eyes, Leases},
    report::Report,
    run::{
        Exit,
        execute::Recording,
        exit,
        gate::Gate,
        hold::Hold,
        leftover,
        mirror::Mirror,
        others::{Earlier, Others},
        signals::Signal,
    },
    state::{Journal, LockError, RunLock, Store},
    step::{self, Action, Event, Phase, RegionName, RunId, StepId, Verdict},
    task::Fence,
};

/// Half of the shortest time between two moments of the world.
const BETWEEN_MOMENTS: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Up,
    Down,
}

/// What a process runs with.
pub struct Surroundings {
    pub world: Arc<World>,
    /// What the real steps get besides. Nothing of it is used.
    pub unused: Arc<step::World>,
    pub regions: Vec<RegionName>,
}

/// How a command ended, and what its steps said.
#[derive(Debug)]
pub struct Ended {
    pub exit: Exit,
    pub verdicts: BTreeMap<StepId, Verdict>,
}

struct Silent;

impl Report for Silent {
    fn event(&mut self, _at: Timestamp, _event: &Event) {}

    fn tick(&mut self, _at: Timestamp) {}
}

thread_local!(static EPOCH: std::cell::Cell<Option<Instant>> = const { std::cell::Cell::new(None) });

/// The clock that also counts while a machine sleeps, in paused time.
fn clock() -> Duration {
    EPOCH.get().map_or(Duration::ZERO, |epoch| epoch.elapsed())
}

/// Each round has a runtime, and each runtime its own time.
pub fn start_clock() {
    EPOCH.set(Some(Instant::now()));
}

impl Surroundings {
    /// Runs a command until it ends; `None` if its process died before.
    pub async fn run(&self, place: &Place, process: &Arc<Process>, command: Command) -> Option<Ended> {
        self.world.note(format!(
            "process {} starts {command:?} on {}, {:?}",
            process.number, place.machine.boot, process.end
        ));
        self.world.starts(process);
        let dies = async {
            if let Some(End::Killed(When::After(after))) = process.end {
                tokio::time::sleep(after).await;
                self.world.dies(process);
            }
            process.killed.cancelled().await;
        };
        let ended = tokio::select! {
            // Whatever became ready in the moment of its death must not go on.
            biased;
            () = dies => None,
            ended = self.command(place, process, command) => Some(ended),
        };
        self.world.ends(process);
        if let Some(ended) = &ended {
            self.world.note(format!("process {} ends: {:?}", process.number, ended.exit));
        }
        ended
    }

    async fn command(&self, place: &Place, process: &Arc<Process>, command: Command) -> Ended {
        let store = Store::open(place.folder.path()).unwrap();
        let run = self.next_run();
        let _lock = lock(&store, &run);
        let mut signals = signals(process);
        let earlier = leftover::wait(&store).await.map_err(|failure| failure.error).unwrap();
        let hold = self.hold(place, process, &run, earlier.ended.clone());
        if hold.take_early(&self.regions).await.is_err() {
            hold.leases.finish().await;
            return Ended { exit: Exit::Locked, verdicts: BTreeMap::new() };
        }
        let mut execute = async |run: &RunId, action, earlier| {
            self.execute((place, process, &hold), run, action, earlier, &mut signals).await
        };
        let ended = if command == Command::Up {
            execute(&run, Action::Up, earlier).await
        } else {
            let planned = execute(&run, Action::PlanDestroy, earlier).await;
            if planned.exit == Exit::Ok {
                // As `Session::start_next`: the plans and the teardown are two runs.
                let earlier = leftover::wait(&store).await.map_err(|failure| failure.error).unwrap();
                execute(&self.next_run(), Action::Destroy, earlier).await
            } else {
                planned
            }
        };
        hold.leases.finish().await;
        ended
    }

    /// As `Session::locked`.
    fn hold(
        &self,
        place: &Place,
        process: &Arc<Process>,
        run: &RunId,
        ended: BTreeSet<RunId>,
    ) -> Arc<Hold<Reached>> {
        let fence = Fence::new(clock);
        let hand = self.hand(place, process, run, &fence);
        let holder = hand.header(&place.machine, &process.holder());
        let eyes = Eyes { here: place.machine.clone(), ended, clock };
        let leases = Leases::start(Reached(hand), holder, eyes, fence, self.regions[0].clone());
        Arc::new(Hold::new(leases, process.patience))
    }

    fn hand(&self, place: &Place, process: &Arc<Process>, run: &RunId, fence: &Fence) -> Hand {
        let folder = Store::open(place.folder.path()).unwrap().run(run);
        let run = Run { id: run.clone(), folder };
        Hand { world: self.world.clone(), process: process.clone(), run, fence: fence.clone() }
    }

    fn next_run(&self) -> RunId {
        RunId::named(&self.world.name("run"))
    }

    async fn execute(
        &self,
        (place, process, hold): (&Place, &Arc<Process>, &Arc<Hold<Reached>>),
        run: &RunId,
        action: Action,
        earlier: Earlier,
        signals: &mut Pin<Box<dyn Stream<Item = Signal> + Send>>,
    ) -> Ended {
        let fence = hold.leases.fence();
        let hand = self.hand(place, process, run, fence);
        let folder = hand.run.folder.clone();
        let header = hand.header(&place.machine, &format!("{action:?}"));
        let graph = steps::graph(&hand, &self.regions);
        let left = earlier.left.clone();
        let others = Others::new(run.clone(), earlier, Reached(hand.clone()));
        let others = others.seen_from(place.machine.clone(), clock);
        let gate = Gate::new(others, hold.clone(), self.regions.clone(), action == Action::Up, None);
        let orders = Orders {
            actions: actions(&graph, action),
            gate: Arc::new(gate),
            // The default depends on the machine that runs the test.
            limits: BTreeMap::new(),
            ..Orders::new(folder.clone())
        };
        let recording = Recording {
            journal: Box::new(Journal::create(&folder, &header).unwrap()),
            mirror: Mirror::new(Reached(hand), header),
            copies: None,
            report: Box::new(Silent),
            clock: || Timestamp::UNIX_EPOCH,
        };
        let started = Event::RunStarted {
            run: run.clone(),
            command: format!("{action:?}"),
            headline: String::new(),
            steps: orders.planned(&graph),
        };
        let engine = |events, cancel| {
            engine::run(&graph, &orders, Facts::default(), self.unused.clone(), events, cancel)
        };
        let (outcome, broken) = recording.run(left, started, engine, signals, fence).await;
        assert!(broken.is_none(), "{broken:?}");
        let Outcome { verdicts, .. } = outcome;
        let exit = hold
            .failure(str::to_owned)
            .map_or_else(|| exit::of_changes(verdicts.iter()), |failure| failure.exit);
        Ended { exit, verdicts }
    }
}

/// Takes the folder's lock. A child that another test has forked holds a copy of every open file until it is executed,
/// and so, for a moment, the lock of a run that has ended.
fn lock(store: &Store, run: &RunId) -> RunLock {
    let end = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        match RunLock::take(store.path(), run) {
            Ok(lock) => return lock,
            Err(LockError::Held { .. }) if std::time::Instant::now() < end => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Only stacks plan their deletion.
fn actions(graph: &Graph, action: Action) -> BTreeMap<StepId, Action> {
    let is_stack = |step: &StepId| step.phase == Phase::Terraform && step.part.as_deref() != Some("state");
    let takes_part = |step: &&StepId| action != Action::PlanDestroy || is_stack(step);
    graph.ids().filter(takes_part).map(|step| (step.clone(), action)).collect()
}

/// The signals that a process gets.
fn signals(process: &Arc<Process>) -> Pin<Box<dyn Stream<Item = Signal> + Send>> {
    let Some(End::Interrupted(_, again)) = process.end else { return Box::pin(stream::pending()) };
    let interrupted = process.interrupted.clone();
    let first = stream::once(async move {
        interrupted.cancelled().await;
        tokio::time::sleep(BETWEEN_MOMENTS).await;
        Signal::Interrupt
    });
    let second = stream::iter(again).then(|after| async move {
        tokio::time::sleep(after).await;
        Signal::Interrupt
    });
    Box::pin(first.chain(second).chain(stream::pending()))
}
