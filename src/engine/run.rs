//! The scheduler: one loop that takes every step of a run to exactly one verdict.
//!
//! Each turn of the loop:
//!
//! 1. `settle` gives a verdict to every waiting step that can no longer run: `skipped` if a step that it needs did
//!    not succeed, `cancelled` after a cancel. It repeats until nothing changes, because a skipped step dooms others.
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
//! Facts are kept by this loop alone. A step gets a copy of them when it starts, so no step sees another's half-done
//! work, and no lock is needed.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

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
        let named = |(step, action): (&StepId, &Action)| PlannedStep {
            step: step.clone(),
            action: *action,
            needs: waits_for(graph, &self.actions, step),
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

/// A step waits for its needs, except in a teardown, where it waits for its dependents. What a deletion would delete
/// depends on no other step.
fn waits_for(graph: &Graph, actions: &BTreeMap<StepId, Action>, step: &StepId) -> Vec<StepId> {
    if actions[step] == Action::PlanDestroy {
        return Vec::new();
    }
    if actions[step] == Action::Destroy {
        let dependent =
            |other: &&StepId| actions[*other] == Action::Destroy && graph.needs(other).contains(step);
        return actions.keys().filter(dependent).cloned().collect();
    }
    graph.needs(step).iter().filter(|need| actions.contains_key(*need)).cloned().collect()
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

struct Loop<'a> {
    graph: &'a Graph,
    orders: &'a Orders,
    world: Arc<World>,
    events: Events,
    cancel: Cancel,
    /// Steps without a verdict that do not run yet, and what each waits for.
    waiting: BTreeMap<StepId, Vec<StepId>>,
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
    let waiting =
        orders.actions.keys().map(|step| (step.clone(), waits_for(graph, &orders.actions, step))).collect();
    let mut run = Loop {
        graph,
        orders,
        world,
        events,
        cancel,
        waiting,
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

    /// Gives a verdict to every waiting step that can no longer run.
    fn settle(&mut self) {
        loop {
            let doomed: Vec<(StepId, Verdict)> = self
                .waiting
                .iter()
                .filter_map(|(step, needs)| Some((step.clone(), self.final_verdict(step, needs)?)))
                .collect();
            if doomed.is_empty() {
                return;
            }
            for (step, verdict) in doomed {
                self.waiting.remove(&step);
                self.finish(step, verdict, Duration::ZERO);
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
        let done = |need: &StepId| self.outcome.verdicts.contains_key(need);
        let mut ready: Vec<StepId> = self
            .waiting
            .iter()
            .filter(|(_, needs)| needs.iter().all(done))
            .map(|(step, _)| step.clone())
            .collect();
        ready.sort_by_key(|step| (std::cmp::Reverse(self.remaining[step]), step.clone()));
        for step in ready {
            let resource = self.graph.entries[&step].node.resource();
            let used = self.in_use.entry(resource).or_default();
            // A limit below one would block the run permanently.
            if self.orders.limits.get(&resource).is_some_and(|limit| *used >= (*limit).max(1)) {
                continue;
            }
            *used += 1;
            self.waiting.remove(&step);
            self.start(step);
        }
    }

    fn start(&mut self, step: StepId) {
        let action = self.orders.actions[&step];
        let node = self.graph.entries[&step].node.clone();
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
        let (facts, budget) = (self.outcome.facts.clone(), self.orders.budget);
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
        let resource = self.graph.entries[&step].node.resource();
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
        self.outcome.elapsed.insert(step.clone(), elapsed);
        self.outcome.verdicts.insert(step, verdict);
    }
}
