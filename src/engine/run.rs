//! The scheduler: one loop that takes every step of a run to exactly one verdict.
//!
//! Each turn of the loop:
//!
//! 1. `settle` gives a verdict to every waiting step that can no longer run: `skipped` if a step that it needs did
//!    not succeed, `cancelled` after a cancel. Only the followers of what has ended since the last turn are judged, and
//!    everything once after a cancel, so that a turn does not cost more in a run of many regions.
//! 2. `start_ready` starts every step whose needs have ended, up to the limits, longest remaining path first.
//! 3. If nothing runs, the run is over. Otherwise the loop waits for a step to end, or for the first cancel.
//!
//! Invariants (a property test checks them over random graphs, failures and interruptions):
//!
//! - Every step of the orders is in exactly one of `waiting`, `names` (running) and `outcome.verdicts`.
//! - A step starts only when everything that it needs has a verdict, and all but its soft needs have succeeded.
//! - A failure affects only its dependents: independent branches, such as other regions, continue.
//! - After a soft cancel nothing starts. What runs ends by itself, so the loop always waits for `running` to empty.
//! - If nothing runs after step 2, nothing waits: a graph has no cycles, so the first waiting step in order is either
//!   ready or doomed, and every limit admits at least one step.
//!
//! Facts are kept by this loop alone. A step gets a copy of those that it needs when it starts, so no step sees another's
//! half-done work, and no lock is needed.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::{
    task::{Id, JoinSet},
    time::Instant,
};
use tokio_util::task::TaskTracker;

use super::{
    attempt::{self, Budget, Ended},
    gate::{Gate, Open},
    graph::{Facts, Graph},
};
use crate::{
    step::{
        Action, Cancel, Context, Error, Event, Events, PlannedStep, Resource, StepId, Task, Verdict, World,
    },
    task::Claims,
};

/// What a run does with which steps, and within which limits.
pub struct Orders {
    pub actions: BTreeMap<StepId, Action>,
    /// After the first failure no further step starts, in any region.
    pub fail_fast: bool,
    pub limits: BTreeMap<Resource, usize>,
    pub budget: Budget,
    /// What earlier runs left open.
    pub gate: Arc<dyn Gate>,
    /// The folder for the steps' log files.
    pub logs: PathBuf,
}

impl Orders {
    /// No steps yet, with the default limits.
    pub fn new(logs: PathBuf) -> Self {
        Self {
            actions: BTreeMap::new(),
            fail_fast: false,
            limits: limits(),
            budget: Budget::default(),
            gate: Arc::new(Open),
            logs,
        }
    }

    /// The run's steps for `run-started`.
    pub fn planned(&self, graph: &Graph) -> Vec<PlannedStep> {
        let mut waits = waits(graph, &self.actions);
        let named = |(step, action): (&StepId, &Action)| PlannedStep {
            step: step.clone(),
            action: *action,
            needs: waits.remove(step).unwrap_or_default(),
        };
        self.actions.iter().map(named).collect()
    }
}

/// As many busy steps as there are processors; as many terraform processes as fit into free memory.
fn limits() -> BTreeMap<Resource, usize> {
    let cpus = std::thread::available_parallelism().map_or(1, Into::into);
    BTreeMap::from([(Resource::Cpu, cpus), (Resource::Terraform, crate::tool::terraform_slots())])
}

/// The result of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    pub verdicts: BTreeMap<StepId, Verdict>,
    pub elapsed: BTreeMap<StepId, Duration>,
    pub facts: Facts,
}

/// What each step waits for: its needs, except in a teardown, where it waits for its dependents. What a deletion would
/// delete depends on no other step.
fn waits(graph: &Graph, actions: &BTreeMap<StepId, Action>) -> BTreeMap<StepId, Vec<StepId>> {
    let mut waits: BTreeMap<StepId, Vec<StepId>> =
        actions.keys().map(|step| (step.clone(), Vec::new())).collect();
    for (step, action) in actions {
        for need in graph.needs(step) {
            match (action, actions.get(need)) {
                (Action::PlanDestroy, _) | (_, None) => {}
                (Action::Destroy, Some(other)) => {
                    if *other == Action::Destroy {
                        waits.entry(need.clone()).or_default().push(step.clone());
                    }
                }
                (_, Some(_)) => waits.entry(step.clone()).or_default().push(need.clone()),
            }
        }
    }
    waits
}

/// A step that may share, until it ends in whatever way, also by a panic.
struct Sharing {
    gate: Arc<dyn Gate>,
    cx: Context,
}

impl Drop for Sharing {
    fn drop(&mut self) {
        // Outside of a runtime the process is ending, and its leases are taken over.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (gate, cx) = (self.gate.clone(), self.cx.clone());
        // The run waits for it at its end.
        self.cx.ending.spawn_on(async move { gate.end_sharing(&cx).await }, &runtime);
    }
}

/// What a step waits for.
struct Waiting {
    needs: Vec<StepId>,
    /// How many of them have no verdict yet.
    open: usize,
}

struct Loop<'a> {
    graph: &'a Graph,
    orders: &'a Orders,
    world: Arc<World>,
    events: Events,
    cancel: Cancel,
    /// Steps without a verdict that do not run yet.
    waiting: BTreeMap<StepId, Waiting>,
    /// The steps that wait for each step.
    followers: BTreeMap<StepId, Vec<StepId>>,
    /// Those that wait and of which a need has ended since they were judged.
    changed: BTreeSet<StepId>,
    /// Those that wait for nothing but a slot, in the order in which they start.
    ready: BTreeSet<(Reverse<Duration>, StepId)>,
    /// Nothing starts any more, and everything that waits has been judged since.
    stopped: bool,
    /// The longest path from each step to the end of the run: the order in which ready steps start.
    remaining: BTreeMap<StepId, Duration>,
    running: JoinSet<Ended>,
    /// The running steps by task id: a task that panicked returns nothing but its id.
    names: BTreeMap<Id, (StepId, Instant)>,
    /// Children of steps that were dropped at their deadline or by a forced stop.
    ending: TaskTracker,
    in_use: BTreeMap<Resource, usize>,
    /// The first step that failed, for `fail_fast`.
    failed: Option<StepId>,
    outcome: Outcome,
}

/// Runs the steps that the orders name, each as soon as what it needs has succeeded.
///
/// `facts` are those of an earlier probe (a teardown starts with one).
pub async fn run(
    graph: &Graph,
    orders: &Orders,
    facts: Facts,
    world: Arc<World>,
    events: Events,
    cancel: Cancel,
) -> Outcome {
    let waits = waits(graph, &orders.actions);
    let mut followers: BTreeMap<StepId, Vec<StepId>> = BTreeMap::new();
    for (step, needs) in &waits {
        for need in needs {
            followers.entry(need.clone()).or_default().push(step.clone());
        }
    }
    let changed = waits.keys().cloned().collect();
    let waiting = |(step, needs): (StepId, Vec<StepId>)| (step, Waiting { open: needs.len(), needs });
    let mut run = Loop {
        graph,
        orders,
        world,
        events,
        cancel,
        waiting: waits.into_iter().map(waiting).collect(),
        followers,
        changed,
        ready: BTreeSet::new(),
        stopped: false,
        remaining: graph.remaining(),
        running: JoinSet::new(),
        names: BTreeMap::new(),
        ending: TaskTracker::new(),
        in_use: BTreeMap::new(),
        failed: None,
        outcome: Outcome { facts, ..Outcome::default() },
    };
    run.drive().await;
    // Nothing starts any more; what a dropped step left running is interrupted, then killed, and its end recorded.
    run.ending.close();
    run.ending.wait().await;
    run.outcome
}

impl Loop<'_> {
    async fn drive(&mut self) {
        loop {
            self.settle();
            self.start_ready();
            if self.running.is_empty() {
                debug_assert!(self.waiting.is_empty(), "no step runs, but some wait");
                return;
            }
            let cancelled = self.cancel.soft.is_cancelled();
            // Not `biased`: either branch only leads to the next turn, which handles both. The second branch is
            // needed once, to settle waiting steps early; without the condition it would spin afterwards.
            tokio::select! {
                ended = self.running.join_next_with_id() => self.ended(ended.expect("a step runs")),
                () = self.cancel.soft.cancelled(), if !cancelled => {}
            }
        }
    }

    /// Gives a verdict to every waiting step that can no longer run, and finds those that can.
    fn settle(&mut self) {
        let stops = self.cancel.soft.is_cancelled() || (self.failed.is_some() && self.orders.fail_fast);
        if stops && !std::mem::replace(&mut self.stopped, true) {
            self.changed.extend(self.waiting.keys().cloned());
        }
        // A verdict adds the followers of its step.
        while let Some(step) = self.changed.pop_first() {
            let Some(waiting) = self.waiting.get(&step) else { continue };
            let rank = (Reverse(self.remaining[&step]), step);
            match self.final_verdict(&rank.1, &waiting.needs) {
                Some(verdict) => {
                    self.ready.remove(&rank);
                    self.waiting.remove(&rank.1);
                    self.finish(rank.1, verdict, Duration::ZERO);
                }
                None if waiting.open == 0 => drop(self.ready.insert(rank)),
                None => {}
            }
        }
    }

    /// The verdict of a waiting step that can no longer run. A failed need comes before a cancel: it is the reason
    /// that the operator has to fix.
    fn final_verdict(&self, step: &StepId, needs: &[StepId]) -> Option<Verdict> {
        let outlived = &self.graph.entries[step].soft;
        if let Some(because) = needs.iter().filter(|need| !outlived.contains(need)).find(|need| {
            self.outcome
                .verdicts
                .get(need)
                .is_some_and(|verdict| !verdict.succeeded() && *verdict != Verdict::Cancelled)
        }) {
            // Name the step that failed, not a chain of skipped ones.
            let because = match &self.outcome.verdicts[because] {
                Verdict::Skipped { because } => because.clone(),
                _ => because.clone(),
            };
            return Some(Verdict::Skipped { because });
        }
        if let Some(because) = self.failed.as_ref().filter(|_| self.orders.fail_fast) {
            return Some(Verdict::Skipped { because: because.clone() });
        }
        let stopped = self.cancel.soft.is_cancelled()
            || needs.iter().any(|need| self.outcome.verdicts.get(need) == Some(&Verdict::Cancelled));
        stopped.then_some(Verdict::Cancelled)
    }

    /// Starts the ready steps, longest remaining path first, so that the critical path never waits for a slot.
    fn start_ready(&mut self) {
        for rank in self.ready.clone() {
            let resource = self.resource(&rank.1);
            let used = self.in_use.entry(resource).or_default();
            // A limit below one would block the run permanently.
            if self.orders.limits.get(&resource).is_some_and(|limit| *used >= (*limit).max(1)) {
                continue;
            }
            *used += 1;
            self.ready.remove(&rank);
            self.waiting.remove(&rank.1);
            self.start(rank.1);
        }
    }

    /// What a step needs a slot of. One that is only read starts no process.
    fn resource(&self, step: &StepId) -> Resource {
        match self.orders.actions[step] {
            Action::Read => Resource::Waiting,
            _ => self.graph.entries[step].node.resource(),
        }
    }

    fn start(&mut self, step: StepId) {
        let action = self.orders.actions[&step];
        let entry = &self.graph.entries[&step];
        let node = entry.node.clone();
        let task = Task {
            log: self.orders.logs.join(step.log_name()),
            step: step.clone(),
            cancel: self.cancel.clone(),
            events: self.events.clone(),
            claims: Claims::default(),
            fence: self.world.aws.fence().clone(),
            ending: self.ending.clone(),
        };
        let cx = Context { task, world: self.world.clone() };
        let (facts, budget) = (self.outcome.facts.of(&entry.needs), self.orders.budget);
        let gate = self.orders.gate.clone();
        let sharing = node.is_shared().then(|| Sharing { gate: gate.clone(), cx: cx.clone() });
        self.events.send(Event::StepStarted { step: step.clone() });
        let task = self.running.spawn(async move {
            let _sharing = sharing;
            // A need may have ended with `differs` and no fact. A teardown runs without inputs: it finds resources
            // by name or tag.
            let needs_inputs = !matches!(action, Action::Destroy | Action::PlanDestroy);
            if needs_inputs && !node.ready(&facts) {
                let summary = "its inputs do not exist yet".to_owned();
                return Ended { verdict: Verdict::Missing { summary }, fact: None };
            }
            attempt::run(node.as_ref(), action, &cx, &facts, budget, gate.as_ref()).await
        });
        self.names.insert(task.id(), (step, Instant::now()));
    }

    fn ended(&mut self, ended: Result<(Id, Ended), tokio::task::JoinError>) {
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, ended),
            Err(error) => {
                let panic = Error::permanent(format!("a bug in paydeploy: {error}"));
                let failed = Verdict::Failed {
                    class: panic.class,
                    chain: panic.chain(),
                    fix: Some("report it with the step's log".to_owned()),
                    attempts: 1,
                };
                (error.id(), failed.into())
            }
        };
        let (step, started) = self.names.remove(&id).expect("every running task has a name");
        let resource = self.resource(&step);
        *self.in_use.entry(resource).or_insert(1) -= 1;
        if let Some(fact) = ended.fact {
            self.outcome.facts.insert(step.clone(), fact);
        }
        self.finish(step, ended.verdict, started.elapsed());
    }

    fn finish(&mut self, step: StepId, verdict: Verdict, elapsed: Duration) {
        if matches!(verdict, Verdict::Failed { .. }) && self.failed.is_none() {
            self.failed = Some(step.clone());
        }
        self.events.send(Event::StepFinished { step: step.clone(), verdict: verdict.clone(), elapsed });
        for follower in self.followers.get(&step).into_iter().flatten() {
            if let Some(waiting) = self.waiting.get_mut(follower) {
                waiting.open -= 1;
                self.changed.insert(follower.clone());
            }
        }
        self.outcome.elapsed.insert(step.clone(), elapsed);
        self.outcome.verdicts.insert(step, verdict);
    }
}
