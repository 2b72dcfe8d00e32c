//! The scheduler with simulated steps and paused time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::{After, AnyOf, Facts, Gate, Graph, Handle, Needs, Orders, Outcome, run};
use crate::step::{
    Action, Cancel, Check, Claim, Class, Context, Error, Event, Events, Phase, Resource, Result, Seen, Step,
    StepId, Verdict,
};

/// What a simulated step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Works,
    Fails,
    /// Fails this many times with a transient error, then works.
    Flaky(u32),
    Panics,
    /// Works, but the operator interrupts meanwhile.
    Interrupted,
    /// Works, but the operator interrupts twice meanwhile.
    Killed,
}

impl Act {
    /// What happens at a step's end, by the number of its tries.
    pub(super) fn happen(self, tries: u32, cx: &Context) -> Result<()> {
        match self {
            Act::Fails => return Err(Error::permanent("broken")),
            Act::Flaky(times) if tries <= times => return Err(Error::transient("throttled")),
            Act::Panics => panic!("a defect"),
            Act::Interrupted => cx.cancel.soft.cancel(),
            Act::Killed => {
                cx.cancel.soft.cancel();
                cx.cancel.hard.cancel();
            }
            Act::Works | Act::Flaky(_) => {}
        }
        Ok(())
    }
}

pub(super) fn seen(id: &StepId, exists: bool) -> Seen<String> {
    if exists { Seen::ok(id.to_string(), "exists") } else { Seen::missing("missing") }
}

pub(super) fn checked(exists: bool) -> Check<()> {
    if exists { Check::Clean("exists".into()) } else { Check::Change { lines: vec!["+".into()], change: () } }
}

#[derive(Clone)]
struct Simulated {
    id: StepId,
    act: Act,
    takes: Duration,
    log: Arc<Mutex<Vec<String>>>,
    exists: Arc<Mutex<bool>>,
    tries: Arc<Mutex<u32>>,
    resource: Resource,
    is_shared: bool,
}

impl Simulated {
    fn new(name: &str, act: Act, log: &Arc<Mutex<Vec<String>>>) -> Self {
        Self {
            id: StepId::global(Phase::Apps, name.to_owned()),
            act,
            takes: Duration::from_secs(60),
            log: log.clone(),
            exists: Arc::default(),
            tries: Arc::default(),
            resource: Resource::Waiting,
            is_shared: false,
        }
    }
}

impl Step for Simulated {
    type Input = ();
    type Fact = String;
    type Change = ();

    fn id(&self) -> StepId {
        self.id.clone()
    }

    fn resource(&self) -> Resource {
        self.resource
    }

    fn is_shared(&self) -> bool {
        self.is_shared
    }

    async fn read(&self, _cx: &Context, (): &()) -> Result<Seen<String>> {
        Ok(seen(&self.id, *self.exists.lock().unwrap()))
    }

    async fn check(&self, _cx: &Context, (): &()) -> Result<Check<()>> {
        Ok(checked(*self.exists.lock().unwrap()))
    }

    async fn apply(&self, cx: &Context, (): &(), (): ()) -> Result<()> {
        self.log.lock().unwrap().push(format!("start {}", self.id));
        tokio::time::sleep(self.takes).await;
        let mut tries = self.tries.lock().unwrap();
        *tries += 1;
        self.act.happen(*tries, cx)?;
        *self.exists.lock().unwrap() = true;
        self.log.lock().unwrap().push(format!("end {}", self.id));
        Ok(())
    }

    async fn repair(&self, _cx: &Context, _input: Option<&()>, left: &[Claim]) -> Result<()> {
        if !left.is_empty() {
            self.log.lock().unwrap().push(format!("repair {}", self.id));
        }
        Ok(())
    }

    async fn plan_destroy(&self, _cx: &Context, _input: Option<&()>) -> Result<Option<String>> {
        self.log.lock().unwrap().push(format!("plan {}", self.id));
        if self.act == Act::Fails {
            return Err(Error::msg(Class::Refused, "protected"));
        }
        Ok(self.exists.lock().unwrap().then(|| "1 resource to delete".to_owned()))
    }

    async fn destroy(&self, _cx: &Context, _input: Option<&()>) -> Result<Option<String>> {
        self.log.lock().unwrap().push(format!("destroy {}", self.id));
        let was = std::mem::take(&mut *self.exists.lock().unwrap());
        if was {
            tokio::time::sleep(self.takes).await;
        }
        Ok(was.then(|| "deleted".to_owned()))
    }
}

/// Waits for all of them and takes no facts.
fn after<'a>(handles: impl IntoIterator<Item = &'a Handle<String>>) -> After {
    handles.into_iter().fold(After::default(), After::step)
}

pub(super) async fn go(graph: &Graph, action: Action, change: impl FnOnce(&mut Orders)) -> Outcome {
    go_with(graph, action, change, |_, _| {}).await
}

/// As `go`; `record` sees every event before it is acknowledged. Every step must finish exactly once.
async fn go_with(
    graph: &Graph,
    action: Action,
    change: impl FnOnce(&mut Orders),
    record: impl Fn(&Event, &Cancel) + Send + 'static,
) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let (cx, _) = crate::step::testing::context(folder.path());
    let mut orders = Orders::new(folder.path().to_owned());
    orders.actions = graph.ids().map(|step| (step.clone(), action)).collect();
    change(&mut orders);
    let (events, mut inbox) = Events::channel();
    let cancel = Cancel::default();
    let cancels = cancel.clone();
    // In place of the run's owner: acknowledges every event that must be on disk.
    let owner = tokio::spawn(async move {
        let mut finished = Vec::new();
        while let Some(message) = inbox.recv().await {
            record(&message.event, &cancels);
            if let Event::StepFinished { step, .. } = &message.event {
                finished.push(step.clone());
            }
            if let Some(recorded) = message.recorded {
                recorded.send(Ok(())).ok();
            }
        }
        finished
    });
    let outcome = run(graph, &orders, Facts::default(), cx.world, events, cancel).await;
    let mut finished = owner.await.unwrap();
    finished.sort();
    assert!(finished.iter().eq(orders.actions.keys()), "a step did not finish exactly once: {finished:?}");
    outcome
}

fn verdict<'a>(outcome: &'a Outcome, name: &str) -> &'a Verdict {
    &outcome.verdicts[&StepId::global(Phase::Apps, name.to_owned())]
}

#[tokio::test(start_paused = true)]
async fn independent_steps_run_in_parallel() {
    let log = Arc::default();
    let mut graph = Graph::default();
    for name in ["a", "b", "c"] {
        graph.add(Simulated::new(name, Act::Works, &log), ());
    }
    let started_at = Instant::now();
    go(&graph, Action::Up, |_| {}).await;
    assert_eq!(started_at.elapsed(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn sixty_four_regions_take_as_long_as_two() {
    let mut times = Vec::new();
    for regions in [2, 64] {
        let log = Arc::default();
        let mut graph = Graph::default();
        for region in 0..regions {
            let first = graph.add(Simulated::new(&format!("first-{region}"), Act::Works, &log), ());
            graph.add(Simulated::new(&format!("second-{region}"), Act::Works, &log), after([&first]));
        }
        let started_at = Instant::now();
        go(&graph, Action::Up, |_| {}).await;
        times.push(started_at.elapsed());
    }
    assert_eq!(times[0], times[1]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_skips_only_its_dependents_and_they_name_it() {
    let log = Arc::default();
    let mut graph = Graph::default();
    let bad = graph.add(Simulated::new("bad", Act::Fails, &log), ());
    let next = graph.add(Simulated::new("next", Act::Works, &log), after([&bad]));
    graph.add(Simulated::new("last", Act::Works, &log), after([&next]));
    let good = graph.add(Simulated::new("good", Act::Works, &log), ());
    graph.add(Simulated::new("after-good", Act::Works, &log), after([&good]));
    let outcome = go(&graph, Action::Up, |_| {}).await;
    assert!(matches!(verdict(&outcome, "bad"), Verdict::Failed { class: Class::Permanent, .. }));
    for name in ["next", "last"] {
        assert_eq!(verdict(&outcome, name), &Verdict::Skipped { because: bad.id().clone() });
    }
    assert!(matches!(verdict(&outcome, "after-good"), Verdict::Changed { .. }));
}

#[tokio::test(start_paused = true)]
async fn with_fail_fast_nothing_new_starts_after_a_failure() {
    let log = Arc::default();
    let mut graph = Graph::default();
    graph.add(Simulated::new("bad", Act::Fails, &log), ());
    let mut slow = Simulated::new("good", Act::Works, &log);
    slow.takes = Duration::from_secs(120);
    let good = graph.add(slow, ());
    graph.add(Simulated::new("after-good", Act::Works, &log), after([&good]));
    let outcome = go(&graph, Action::Up, |orders| orders.fail_fast = true).await;
    assert!(matches!(verdict(&outcome, "good"), Verdict::Changed { .. }));
    assert!(matches!(verdict(&outcome, "after-good"), Verdict::Skipped { .. }));
}

#[tokio::test(start_paused = true)]
async fn only_transient_failures_are_retried_up_to_the_limit() {
    let log = Arc::default();
    let mut graph = Graph::default();
    graph.add(Simulated::new("twice", Act::Flaky(2), &log), ());
    graph.add(Simulated::new("always", Act::Flaky(u32::MAX), &log), ());
    graph.add(Simulated::new("broken", Act::Fails, &log), ());
    let outcome = go(&graph, Action::Up, |_| {}).await;
    assert!(matches!(verdict(&outcome, "twice"), Verdict::Changed { .. }));
    assert!(matches!(verdict(&outcome, "always"), Verdict::Failed { class: Class::Transient, .. }));
    assert!(matches!(verdict(&outcome, "broken"), Verdict::Failed { attempts: 1, .. }));
    // Ten minutes from the first failure, and attempts of a minute at both ends.
    let elapsed = outcome.elapsed[&StepId::global(Phase::Apps, "always")];
    assert!((Duration::from_mins(11)..=Duration::from_mins(12)).contains(&elapsed), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_step_and_the_run_goes_on() {
    let log = Arc::default();
    let mut graph = Graph::default();
    graph.add(Simulated::new("panics", Act::Panics, &log), ());
    graph.add(Simulated::new("works", Act::Works, &log), ());
    let outcome = go(&graph, Action::Up, |_| {}).await;
    assert!(matches!(verdict(&outcome, "panics"), Verdict::Failed { .. }));
    assert!(matches!(verdict(&outcome, "works"), Verdict::Changed { .. }));
}

#[tokio::test(start_paused = true)]
async fn after_an_interruption_running_steps_end_and_no_step_starts() {
    let log = Arc::default();
    let mut graph = Graph::default();
    let first = graph.add(Simulated::new("first", Act::Interrupted, &log), ());
    graph.add(Simulated::new("second", Act::Works, &log), after([&first]));
    let outcome = go(&graph, Action::Up, |_| {}).await;
    assert!(matches!(verdict(&outcome, "first"), Verdict::Changed { .. }));
    assert_eq!(verdict(&outcome, "second"), &Verdict::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_while_the_start_of_an_effect_is_recorded_prevents_the_effect() {
    let interrupt = |event: &Event, cancel: &Cancel| {
        if matches!(event, Event::EffectStarted { .. }) {
            cancel.soft.cancel();
        }
    };
    for action in [Action::Up, Action::Destroy] {
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut graph = Graph::default();
        graph.add(Simulated::new("one", Act::Works, &log), ());
        let outcome = go_with(&graph, action, |_| {}, interrupt).await;
        assert_eq!(verdict(&outcome, "one"), &Verdict::Cancelled, "{action:?}");
        assert!(log.lock().unwrap().is_empty(), "{action:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_takes_an_hour_is_waited_for() {
    let mut graph = Graph::default();
    // As an RDS Proxy may.
    let proxy =
        Simulated { takes: Duration::from_mins(60), ..Simulated::new("proxy", Act::Works, &Arc::default()) };
    *proxy.exists.lock().unwrap() = true;
    graph.add(proxy, ());
    let outcome = go(&graph, Action::Destroy, |_| {}).await;
    assert!(matches!(verdict(&outcome, "proxy"), Verdict::Deleted { .. }), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_times_out_names_the_limit_and_a_fix() {
    let mut graph = Graph::default();
    graph.add(Simulated::new("slow", Act::Works, &Arc::default()), ());
    let outcome = go(&graph, Action::Up, |orders| orders.budget.deadline = Duration::from_secs(30)).await;
    let Verdict::Failed { chain, fix, .. } = verdict(&outcome, "slow") else { panic!("{outcome:?}") };
    assert_eq!(chain, &["timed out after 30s"]);
    assert!(fix.as_ref().is_some_and(|fix| fix.starts_with("run the same command again")));
}

/// Another run holds everything for an hour, and meanwhile does what the step `exists` is for.
#[derive(Default)]
struct Busy {
    log: Arc<Mutex<Vec<String>>>,
    exists: Arc<Mutex<bool>>,
}

impl Gate for Busy {
    fn pass<'a>(&'a self, _cx: &'a Context) -> BoxFuture<'a, Result<Vec<Claim>>> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_hours(1)).await;
            Ok(Vec::new())
        })
    }

    fn share<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async {
            self.log.lock().unwrap().push(format!("share {}", cx.step));
            tokio::time::sleep(Duration::from_hours(1)).await;
            *self.exists.lock().unwrap() = true;
            Ok(true)
        })
    }

    fn end_sharing<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, ()> {
        Box::pin(async { self.log.lock().unwrap().push(format!("end sharing {}", cx.step)) })
    }
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_another_run_is_not_part_of_the_steps_time() {
    let mut graph = Graph::default();
    graph.add(Simulated { is_shared: true, ..Simulated::new("patient", Act::Works, &Arc::default()) }, ());
    let outcome = go(&graph, Action::Up, |orders| {
        orders.budget.deadline = Duration::from_secs(90);
        orders.gate = Arc::new(Busy::default());
    });
    assert!(matches!(verdict(&outcome.await, "patient"), Verdict::Changed { .. }));
}

#[tokio::test(start_paused = true)]
async fn what_a_run_has_read_before_it_waited_for_another_is_read_again() {
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut graph = Graph::default();
    let step = Simulated { is_shared: true, ..Simulated::new("shared", Act::Works, &log) };
    let gate = Busy { log: log.clone(), exists: step.exists.clone() };
    graph.add(step, ());
    let outcome = go(&graph, Action::Up, |orders| orders.gate = Arc::new(gate)).await;
    assert!(matches!(verdict(&outcome, "shared"), Verdict::Unchanged { .. }), "the other run has done it");
    assert_eq!(*log.lock().unwrap(), ["share apps/shared", "end sharing apps/shared"]);
}

#[tokio::test(start_paused = true)]
async fn however_a_step_ends_it_shares_no_longer() {
    for act in [Act::Works, Act::Fails, Act::Panics, Act::Killed] {
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut graph = Graph::default();
        graph.add(Simulated { is_shared: true, ..Simulated::new("shared", act, &log) }, ());
        let gate = Busy { log: log.clone(), exists: Arc::default() };
        go(&graph, Action::Up, |orders| orders.gate = Arc::new(gate)).await;
        assert_eq!(log.lock().unwrap().last().unwrap(), "end sharing apps/shared", "{act:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_run_changes_nothing() {
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut graph = Graph::default();
    let first = graph.add(Simulated::new("first", Act::Works, &log), ());
    graph.add(Simulated::new("second", Act::Works, &log), after([&first]));
    go(&graph, Action::Up, |_| {}).await;
    log.lock().unwrap().clear();
    let outcome = go(&graph, Action::Up, |_| {}).await;
    assert!(log.lock().unwrap().is_empty());
    assert!(outcome.verdicts.values().all(|verdict| matches!(verdict, Verdict::Unchanged { .. })));
}

/// Counts the inputs that it gets.
struct Counts(Arc<Mutex<Vec<usize>>>);
impl Step for Counts {
    type Input = Vec<String>;
    type Fact = ();
    type Change = ();

    fn id(&self) -> StepId {
        StepId::global(Phase::Apps, "counts")
    }

    async fn read(&self, _cx: &Context, _input: &Vec<String>) -> Result<Seen<()>> {
        Ok(Seen::ok((), ""))
    }

    async fn check(&self, _cx: &Context, input: &Vec<String>) -> Result<Check<()>> {
        self.0.lock().unwrap().push(input.len());
        Ok(Check::Clean(String::new()))
    }

    async fn apply(&self, _cx: &Context, _input: &Vec<String>, (): ()) -> Result<()> {
        Ok(())
    }

    async fn destroy(&self, _cx: &Context, _input: Option<&Vec<String>>) -> Result<Option<String>> {
        Ok(None)
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_needs_any_of_several_runs_although_one_failed() {
    let log = Arc::default();
    let mut graph = Graph::default();
    let good = graph.add(Simulated::new("good", Act::Works, &log), ());
    let bad = graph.add(Simulated::new("bad", Act::Fails, &log), ());
    let needs = AnyOf(vec![good, bad]);
    let mut ids = Vec::new();
    needs.soft(&mut ids);
    assert_eq!(ids.len(), 2);
    let counted = Arc::default();
    graph.add(Counts(Arc::clone(&counted)), needs);
    let outcome = go(&graph, Action::Up, |_| {}).await;
    assert!(matches!(verdict(&outcome, "counts"), Verdict::Unchanged { .. }));
    assert_eq!(*counted.lock().unwrap(), [1]);
}

#[tokio::test(start_paused = true)]
async fn dependents_are_deleted_first() {
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut graph = Graph::default();
    let first = graph.add(Simulated::new("a-first", Act::Works, &log), ());
    graph.add(Simulated::new("b-second", Act::Works, &log), after([&first]));
    go(&graph, Action::Up, |_| {}).await;
    log.lock().unwrap().clear();
    let outcome = go(&graph, Action::Destroy, |_| {}).await;
    assert_eq!(*log.lock().unwrap(), ["destroy apps/b-second", "destroy apps/a-first"]);
    assert!(outcome.verdicts.values().all(|verdict| matches!(verdict, Verdict::Deleted { .. })));
    let again = go(&graph, Action::Destroy, |_| {}).await;
    assert!(again.verdicts.values().all(|verdict| matches!(verdict, Verdict::Unchanged { .. })));
}

#[tokio::test(start_paused = true)]
async fn busy_steps_respect_the_limit() {
    let log = Arc::default();
    let mut graph = Graph::default();
    for name in ["a", "b", "c", "d"] {
        let mut step = Simulated::new(name, Act::Works, &log);
        step.resource = Resource::Cpu;
        graph.add(step, ());
    }
    let started_at = Instant::now();
    go(&graph, Action::Up, |orders| orders.limits = BTreeMap::from([(Resource::Cpu, 2)])).await;
    assert_eq!(started_at.elapsed(), Duration::from_secs(120));
}

/// A dead run that left a claim of every step.
#[derive(Default)]
pub(super) struct DeadRun(Mutex<BTreeSet<StepId>>);

impl DeadRun {
    fn claim() -> Claim {
        Claim::Probe { application: "left".to_owned() }
    }
}

impl Gate for DeadRun {
    fn pass<'a>(&'a self, cx: &'a Context) -> futures::future::BoxFuture<'a, Result<Vec<Claim>>> {
        let first = self.0.lock().unwrap().insert(cx.step.clone());
        Box::pin(async move { Ok(if first { vec![Self::claim()] } else { Vec::new() }) })
    }
}

/// Records which effects and claims the events show as open.
fn recorder(seen: &Arc<Mutex<Vec<String>>>) -> impl Fn(&Event, &Cancel) + Send + 'static {
    let seen = seen.clone();
    move |event, _| match event {
        Event::EffectStarted { step } => seen.lock().unwrap().push(format!("start {step}")),
        Event::EffectEnded { step } => seen.lock().unwrap().push(format!("end {step}")),
        Event::Released { step, .. } => seen.lock().unwrap().push(format!("released {step}")),
        _ => {}
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_run_left_is_repaired_once_before_anything_else_and_then_released() {
    for (action, last) in [(Action::Up, "start apps/one"), (Action::Destroy, "destroy apps/one")] {
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::default();
        let mut graph = Graph::default();
        graph.add(Simulated::new("one", Act::Flaky(1), &log), ());
        let gate = |orders: &mut Orders| orders.gate = Arc::new(DeadRun::default());
        go_with(&graph, action, gate, recorder(&seen)).await;
        let log = log.lock().unwrap();
        assert_eq!(log[..2], ["repair apps/one", last]);
        assert_eq!(log.iter().filter(|line| line.starts_with("repair")).count(), 1);
        let seen = seen.lock().unwrap();
        assert_eq!(seen[..3], ["start apps/one", "end apps/one", "released apps/one"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_only_reads_or_checks_repairs_nothing() {
    for action in [Action::Read, Action::Check] {
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut graph = Graph::default();
        graph.add(Simulated::new("one", Act::Works, &log), ());
        go(&graph, action, |orders| orders.gate = Arc::new(DeadRun::default())).await;
        assert!(log.lock().unwrap().is_empty(), "{action:?}");
    }
}

/// Claims something, and fails the first time before it releases it.
struct Claims(Arc<Mutex<Vec<usize>>>);
impl Step for Claims {
    type Input = ();
    type Fact = ();
    type Change = ();

    fn id(&self) -> StepId {
        StepId::global(Phase::Apps, "claims")
    }

    async fn read(&self, _cx: &Context, (): &()) -> Result<Seen<()>> {
        Ok(Seen::ok((), ""))
    }

    async fn repair(&self, _cx: &Context, _input: Option<&()>, left: &[Claim]) -> Result<()> {
        self.0.lock().unwrap().push(left.len());
        Ok(())
    }

    async fn check(&self, _cx: &Context, (): &()) -> Result<Check<()>> {
        Ok(Check::Change { lines: Vec::new(), change: () })
    }

    async fn apply(&self, cx: &Context, (): &(), (): ()) -> Result<()> {
        cx.claim(&DeadRun::claim()).await?;
        if self.0.lock().unwrap().len() == 1 {
            return Err(Error::transient("killed"));
        }
        cx.release(&DeadRun::claim());
        Ok(())
    }

    async fn destroy(&self, _cx: &Context, _input: Option<&()>) -> Result<Option<String>> {
        Ok(None)
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_attempt_left_open_is_repaired_by_the_next_one() {
    let repairs: Arc<Mutex<Vec<usize>>> = Arc::default();
    let mut graph = Graph::default();
    graph.add(Claims(repairs.clone()), ());
    go(&graph, Action::Up, |_| {}).await;
    assert_eq!(*repairs.lock().unwrap(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_deletion_of_every_step_is_planned_whatever_another_one_refuses() {
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut graph = Graph::default();
    let base = graph.add(Simulated::new("base", Act::Works, &log), ());
    let held = graph.add(Simulated::new("held", Act::Fails, &log), after([&base]));
    graph.add(Simulated::new("top", Act::Works, &log), after([&held]));
    let outcome = go(&graph, Action::PlanDestroy, |_| {}).await;
    assert_eq!(*log.lock().unwrap(), ["plan apps/base", "plan apps/held", "plan apps/top"]);
    let refused = &outcome.verdicts[held.id()];
    assert!(matches!(refused, Verdict::Failed { class: Class::Refused, .. }), "{refused:?}");
    assert!(outcome.verdicts[base.id()].succeeded(), "{:?}", outcome.verdicts);
}
