//! One round of the campaign, drawn from a seed:
//!
//! 1. It starts from an empty world or from a complete one.
//! 2. One to three processes run `up` or `down` one after the other. Each is killed or interrupted somewhere, and may meet
//!    faults. Beside the first one a rival may run, on another machine or in another checkout.
//! 3. One `up` or `down` that nothing stops has to bring everything into the wanted state, whatever was left. Sometimes one
//!    with faults comes before it, which has to succeed as well.
//! 4. The same command again changes nothing.
//!
//! Where a process starts depends on how the one before it ended: in the same checkout, there after a reboot, in another
//! checkout on the same machine, or on another machine, where the bucket alone knows what was left.

use std::{sync::Arc, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    command::{Command, Ended, Surroundings, start_clock},
    process::{End, Faults, Place, Process, When},
    steps::STACKS,
    world::{Inner, Status, Tally, Things, World},
};
use crate::{
    run::Exit,
    step::{self, RegionName, StepId, Verdict},
    task::retry,
};

/// More moments than most commands have, so that a kill can fall anywhere in them.
const MOMENTS: u32 = 320;

/// As many of them as most commands have while something is claimed.
const CLAIMED: u32 = 100;

/// What remains of the place of a process that has died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// The process was killed.
    Process,
    /// The machine was rebooted; its disk survived.
    Power,
    /// The checkout is lost, on a machine that goes on.
    Checkout,
    /// The machine and its disk are lost, as a cancelled CI job's.
    Machine,
}

/// One process that does not reach its own end.
#[derive(Debug, Clone)]
struct Act {
    command: Command,
    end: End,
    loss: Loss,
    faults: Faults,
}

/// A second process beside the first.
#[derive(Debug, Clone)]
struct Rival {
    command: Command,
    /// The moment of the other process in which it starts.
    at: u32,
    end: Option<End>,
    is_on_the_same_machine: bool,
}

#[derive(Debug, Clone)]
struct Script {
    starts_complete: bool,
    acts: Vec<Act>,
    rival: Option<Rival>,
    last: Command,
    faults: Faults,
}

/// What a round has met.
#[derive(Debug, Default, Clone)]
pub struct Report {
    pub tally: Tally,
    /// How the processes ended that did not reach their own end.
    pub ends: Vec<(Loss, End)>,
    pub rivals: u32,
    pub rivals_beside_a_living_one: u32,
    /// Processes that had ended before their kill.
    pub escaped: u32,
    pub trace: Vec<String>,
}

/// Mostly one that has something to do.
fn draw_command(rng: &mut StdRng, is_complete: bool) -> Command {
    if rng.random_bool(if is_complete { 0.3 } else { 0.7 }) { Command::Up } else { Command::Down }
}

fn draw_end(rng: &mut StdRng) -> End {
    match rng.random_range(0..10) {
        0 | 1 => {
            let forced = rng.random_bool(0.7).then(|| Duration::from_millis(rng.random_range(1..800) * 10));
            End::Interrupted(rng.random_range(1..MOMENTS), forced)
        }
        2 => End::Killed(When::After(Duration::from_millis(rng.random_range(0..9000) * 10))),
        3 | 4 => End::Killed(When::Moment(rng.random_range(1..MOMENTS))),
        5 | 6 => End::Killed(When::Claimed(rng.random_range(1..=8))),
        _ => End::Killed(When::Claimed(rng.random_range(1..CLAIMED))),
    }
}

fn draw_faults(rng: &mut StdRng, regions: &[RegionName]) -> Faults {
    if rng.random_bool(0.6) {
        return Faults::default();
    }
    let outage = rng.random_bool(0.4).then(|| {
        let from = Duration::from_secs(rng.random_range(0..60));
        let region = regions[rng.random_range(0..regions.len())].clone();
        (region, from, from + Duration::from_secs(rng.random_range(1..150)))
    });
    Faults { left: rng.random_range(0..6), outage }
}

impl Script {
    fn draw(rng: &mut StdRng, regions: &[RegionName]) -> Self {
        let starts_complete = rng.random_bool(0.4);
        let losses = [Loss::Process, Loss::Power, Loss::Checkout, Loss::Machine];
        let acts = (0..rng.random_range(1..=3)).map(|_| Act {
            command: draw_command(rng, starts_complete),
            end: draw_end(rng),
            loss: losses[rng.random_range(0..losses.len())],
            faults: draw_faults(rng, regions),
        });
        let acts = acts.collect();
        let rival = rng.random_bool(0.25).then(|| Rival {
            command: draw_command(rng, starts_complete),
            at: rng.random_range(1..MOMENTS / 2),
            end: rng.random_bool(0.3).then(|| draw_end(rng)),
            is_on_the_same_machine: rng.random_bool(0.3),
        });
        Self {
            starts_complete,
            acts,
            rival,
            last: draw_command(rng, false),
            faults: draw_faults(rng, regions),
        }
    }
}

/// A runtime whose time is paused.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// What a complete `up` creates in an empty world.
pub fn complete(unused: &Arc<step::World>, regions: &[RegionName]) -> Things {
    runtime().block_on(async {
        start_clock();
        let stage = Stage::new(0, Things::default(), unused, regions);
        stage.converges(&Place::new("first"), Command::Up).await.unwrap();
        stage.around.world.lock().things.clone()
    })
}

/// Plays the round of a seed. The error says which rule was broken, and the trace what happened.
pub fn play(
    seed: u64,
    complete: &Things,
    unused: &Arc<step::World>,
    regions: &[RegionName],
) -> (Report, Result<(), String>) {
    let mut rng = StdRng::seed_from_u64(seed);
    let script = Script::draw(&mut rng, regions);
    let mut pauses = StdRng::seed_from_u64(seed);
    // In hundredths, as all times of the world, so that no signal coincides with the end of a pause.
    retry::testing::draw_from(move || f64::from(pauses.random_range(0..100_u32)) / 100.0);
    runtime().block_on(async {
        start_clock();
        let things = if script.starts_complete { complete.clone() } else { Things::default() };
        let stage = Stage::new(seed, things, unused, regions);
        let mut report = Report::default();
        let played = stage.play(script, &mut report).await;
        let mut inner = stage.around.world.lock();
        report.tally = inner.tally.clone();
        report.trace = std::mem::take(&mut inner.trace);
        (report, played)
    })
}

struct Stage {
    around: Surroundings,
    processes: std::cell::Cell<u32>,
}

impl Stage {
    fn new(seed: u64, things: Things, unused: &Arc<step::World>, regions: &[RegionName]) -> Self {
        let world = World::new(seed, things, regions);
        let around = Surroundings { world, unused: unused.clone(), regions: regions.to_vec() };
        Self { around, processes: std::cell::Cell::new(0) }
    }

    fn process(&self, end: Option<End>, faults: Faults, is_visible: bool) -> Process {
        self.processes.set(self.processes.get() + 1);
        Process::new(self.processes.get(), end, faults, is_visible)
    }

    async fn play(&self, script: Script, report: &mut Report) -> Result<(), String> {
        self.around.world.note(format!("{script:?}"));
        let mut home = Place::new("home");
        let mut rival = script.rival;
        for (number, act) in script.acts.into_iter().enumerate() {
            let beside = rival.take();
            let is_visible = beside.as_ref().is_some_and(|rival| rival.is_on_the_same_machine);
            let mut process = self.process(Some(act.end), act.faults, is_visible);
            process.rival_at = beside.as_ref().map(|rival| rival.at);
            let process = Arc::new(process);
            let runs = self.around.run(&home, &process, act.command);
            let ended = match beside {
                Some(rival) => tokio::join!(runs, self.rival(&home, rival, &process, report)).0,
                None => runs.await,
            };
            self.nothing_goes_on().await?;
            match ended {
                Some(ended) if ended.exit != Exit::Interrupted => report.escaped += 1,
                _ => report.ends.push((act.loss, act.end)),
            }
            home = match act.loss {
                Loss::Process => home,
                Loss::Power => home.rebooted(),
                Loss::Checkout => home.beside(),
                Loss::Machine => Place::new(&format!("home-{number}")),
            };
        }
        if script.faults.left > 0 || script.faults.outage.is_some() {
            // Where an answer to its last requests is lost, a run leaves a lock or a record to the next one.
            self.succeeds(&home, script.last, script.faults).await?;
        }
        self.converges(&home, script.last).await?;
        self.changes_nothing(&home, script.last).await
    }

    async fn rival(&self, home: &Place, rival: Rival, beside: &Process, report: &mut Report) {
        beside.rival.cancelled().await;
        report.rivals += 1;
        report.rivals_beside_a_living_one += u32::from(beside.is_alive());
        let place = if rival.is_on_the_same_machine { home.beside() } else { Place::new("rival") };
        let process = Arc::new(self.process(rival.end, Faults::default(), rival.is_on_the_same_machine));
        // It may fail: the other one holds what it needs.
        drop(self.around.run(&place, &process, rival.command).await);
    }

    /// What a process has started ends with it.
    async fn nothing_goes_on(&self) -> Result<(), String> {
        // A task that was aborted is dropped when the runtime gets to it.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        if tasks > 0 {
            return Err(format!("{tasks} tasks go on although their process has ended"));
        }
        self.no_rule_is_broken()
    }

    fn no_rule_is_broken(&self) -> Result<(), String> {
        match self.around.world.lock().broken.first() {
            Some(broken) => Err(broken.clone()),
            None => Ok(()),
        }
    }

    /// Runs a command to its own end.
    async fn succeeds(&self, place: &Place, command: Command, faults: Faults) -> Result<Ended, String> {
        let process = Arc::new(self.process(None, faults, false));
        let ended = self.around.run(place, &process, command).await.expect("nothing kills it");
        self.nothing_goes_on().await?;
        if ended.exit != Exit::Ok {
            let bad = ended.verdicts.into_iter().filter(|(_, verdict)| !verdict.succeeded());
            return Err(format!("{command:?} failed: {:?}", bad.collect::<Vec<_>>()));
        }
        Ok(ended)
    }

    async fn converges(&self, place: &Place, command: Command) -> Result<(), String> {
        self.succeeds(place, command, Faults::default()).await?;
        let problems = problems(&self.around.world.lock(), command, &self.around.regions);
        if !problems.is_empty() {
            return Err(format!("after {command:?}: {}", problems.join(", ")));
        }
        self.no_record_remains()
    }

    async fn changes_nothing(&self, place: &Place, command: Command) -> Result<(), String> {
        let before = self.around.world.lock().things.changes;
        let ended = self.succeeds(place, command, Faults::default()).await?;
        let changes = self.around.world.lock().things.changes - before;
        let has_changed = |(_, one): &(&StepId, &Verdict)| !matches!(one, Verdict::Unchanged { .. });
        if let Some((step, verdict)) = ended.verdicts.iter().find(has_changed) {
            return Err(format!("a second {command:?} was not without effect: {step} {verdict:?}"));
        }
        if changes > 0 {
            return Err(format!("a second {command:?} made {changes} changes"));
        }
        self.no_record_remains()
    }

    fn no_record_remains(&self) -> Result<(), String> {
        for (region, memory) in &self.around.world.lock().records {
            let keys = memory.keys();
            if !keys.is_empty() {
                return Err(format!("records remain in the bucket of {region}: {keys:?}"));
            }
        }
        Ok(())
    }
}

/// What is not as a command should leave it.
fn problems(inner: &Inner, command: Command, regions: &[RegionName]) -> Vec<String> {
    let Things { resources, states, locks, releases, probes, registered, has_image, .. } = &inner.things;
    let mut problems = Vec::new();
    let mut expect = |is_so: bool, what: String| {
        if !is_so {
            problems.push(what);
        }
    };
    let is_up = command == Command::Up;
    expect(locks.is_empty(), format!("locks remain: {locks:?}"));
    expect(probes.is_empty(), format!("temporary objects remain: {probes:?}"));
    expect(*has_image == is_up, format!("the image exists: {has_image}"));
    for region in regions {
        let status = releases.get(region).map(|release| release.status);
        expect(status == is_up.then_some(Status::Deployed), format!("the release of {region} is {status:?}"));
        expect(registered.contains(region) == is_up, format!("{region} is registered: {}", !is_up));
        for (name, addresses) in STACKS {
            let stack = (region.clone(), name);
            let mut wanted: Vec<_> =
                addresses.iter().map(|(address, _)| *address).filter(|_| is_up).collect();
            wanted.sort_unstable();
            let ours = resources.iter().filter(|(_, one)| one.stack == stack);
            let mut existing: Vec<_> = ours.clone().map(|(_, one)| one.address).collect();
            existing.sort_unstable();
            expect(existing == wanted, format!("{stack:?} has {existing:?}"));
            let listed = states.get(&stack).map(|state| state.resources.clone()).unwrap_or_default();
            let is_listed = ours.clone().all(|(id, one)| listed.get(one.address) == Some(id));
            expect(
                is_listed && listed.len() == wanted.len(),
                format!("the state of {stack:?} lists {listed:?}"),
            );
        }
    }
    problems
}
