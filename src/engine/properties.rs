//! The scheduler's invariants over random graphs: needs of both kinds, failures, interruptions, limits, and runs that
//! create, only look at some steps, or delete.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use proptest::{prelude::*, sample::Index};

use super::{
    After, AnyOf, Graph, Handle, Outcome,
    tests::{Act, DeadRun, checked, go, seen},
};
use crate::step::{Action, Check, Claim, Context, Phase, Resource, Result, Seen, Step, StepId};

/// What happens in a run, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Repair(StepId),
    /// With the facts that it was given.
    Start(StepId, Vec<String>),
    End(StepId),
}

/// What the steps of a run do together.
#[derive(Default)]
struct Shared {
    lines: Mutex<Vec<Line>>,
    /// How many steps are at work, and the most that ever were.
    busy: Mutex<BTreeMap<Resource, (usize, usize)>>,
}

/// A step that is at work, until it ends or is dropped.
struct Busy<'a>(&'a Shared, Resource);

impl<'a> Busy<'a> {
    fn new(shared: &'a Shared, resource: Resource) -> Self {
        let mut busy = shared.busy.lock().unwrap();
        let (now, most) = busy.entry(resource).or_default();
        *now += 1;
        *most = (*most).max(*now);
        Self(shared, resource)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.lock().unwrap().get_mut(&self.1).unwrap().0 -= 1;
    }
}

struct Random {
    id: StepId,
    act: Act,
    takes: Duration,
    resource: Resource,
    exists: Mutex<bool>,
    tries: Mutex<u32>,
    shared: Arc<Shared>,
}

impl Random {
    fn note(&self, line: Line) {
        self.shared.lines.lock().unwrap().push(line);
    }

    async fn work(&self, cx: &Context, facts: Vec<String>) -> Result<()> {
        self.note(Line::Start(self.id.clone(), facts));
        let _busy = Busy::new(&self.shared, self.resource);
        tokio::time::sleep(self.takes).await;
        let tries = {
            let mut tries = self.tries.lock().unwrap();
            *tries += 1;
            *tries
        };
        self.act.happen(tries, cx)?;
        self.note(Line::End(self.id.clone()));
        Ok(())
    }
}

impl Step for Random {
    type Input = ((), Option<Vec<String>>);
    type Fact = String;
    type Change = ();

    fn id(&self) -> StepId {
        self.id.clone()
    }

    fn resource(&self) -> Resource {
        self.resource
    }

    async fn read(&self, _cx: &Context, _input: &Self::Input) -> Result<Seen<String>> {
        Ok(seen(&self.id, *self.exists.lock().unwrap()))
    }

    async fn check(&self, _cx: &Context, _input: &Self::Input) -> Result<Check<()>> {
        Ok(checked(*self.exists.lock().unwrap()))
    }

    async fn apply(&self, cx: &Context, ((), facts): &Self::Input, (): ()) -> Result<()> {
        self.work(cx, facts.clone().unwrap_or_default()).await?;
        *self.exists.lock().unwrap() = true;
        Ok(())
    }

    async fn repair(&self, _cx: &Context, _input: Option<&Self::Input>, left: &[Claim]) -> Result<()> {
        if !left.is_empty() {
            self.note(Line::Repair(self.id.clone()));
        }
        Ok(())
    }

    async fn destroy(&self, cx: &Context, _input: Option<&Self::Input>) -> Result<Option<String>> {
        if !*self.exists.lock().unwrap() {
            return Ok(None);
        }
        self.work(cx, Vec::new()).await?;
        *self.exists.lock().unwrap() = false;
        Ok(Some("deleted".to_owned()))
    }
}

#[derive(Debug, Clone)]
struct Plan {
    act: Act,
    needs: Vec<Index>,
    /// Of these, one is enough.
    soft: Vec<Index>,
    seconds: u64,
    resource: Resource,
    exists: bool,
    is_only_read: bool,
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let act = prop_oneof![
        6 => Just(Act::Works),
        2 => Just(Act::Fails),
        1 => Just(Act::Flaky(1)),
        1 => Just(Act::Panics),
        1 => Just(Act::Interrupted),
        1 => Just(Act::Killed),
    ];
    let resource = prop_oneof![Just(Resource::Waiting), Just(Resource::Cpu), Just(Resource::Terraform)];
    let needs = || prop::collection::vec(any::<Index>(), 0..3);
    let plan = (act, needs(), needs(), 0..100_u64, resource, any::<bool>(), prop::bool::weighted(0.2));
    let plan = plan.prop_map(|(act, needs, soft, seconds, resource, exists, is_only_read)| Plan {
        act,
        needs,
        soft,
        seconds,
        resource,
        exists,
        is_only_read,
    });
    prop::collection::vec(plan, 1..24)
}

/// A graph whose steps are known by their numbers.
struct World {
    graph: Graph,
    shared: Arc<Shared>,
    ids: Vec<StepId>,
    needs: Vec<BTreeSet<usize>>,
    soft: Vec<BTreeSet<usize>>,
}

fn world(plans: &[Plan]) -> World {
    let (mut graph, shared) = (Graph::default(), Arc::<Shared>::default());
    let mut handles: Vec<Handle<String>> = Vec::new();
    let (mut all_needs, mut all_soft) = (Vec::new(), Vec::new());
    for (number, plan) in plans.iter().enumerate() {
        let step = Random {
            id: StepId::global(Phase::Apps, format!("{number:02}")),
            act: plan.act,
            takes: Duration::from_secs(plan.seconds),
            resource: plan.resource,
            exists: Mutex::new(plan.exists),
            tries: Mutex::default(),
            shared: shared.clone(),
        };
        let chosen = |indices: &[Index]| -> BTreeSet<usize> {
            if number == 0 {
                BTreeSet::new()
            } else {
                indices.iter().map(|index| index.index(number)).collect()
            }
        };
        let needs = chosen(&plan.needs);
        let soft: BTreeSet<usize> = chosen(&plan.soft).difference(&needs).copied().collect();
        let after = needs.iter().fold(After::default(), |after, need| after.step(&handles[*need]));
        let any_of = AnyOf(soft.iter().map(|need| handles[*need].clone()).collect());
        let any_of = Some(any_of).filter(|any_of| !any_of.0.is_empty());
        handles.push(graph.add(step, (after, any_of)));
        all_needs.push(needs);
        all_soft.push(soft);
    }
    let ids = handles.iter().map(|handle| handle.id().clone()).collect();
    World { graph, shared, ids, needs: all_needs, soft: all_soft }
}

impl World {
    fn go(&self, actions: &[Action], slots: usize, fail_fast: bool, after_a_crash: bool) -> Outcome {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(go(&self.graph, Action::Up, |orders| {
            orders.actions = self.ids.iter().cloned().zip(actions.iter().copied()).collect();
            orders.limits = BTreeMap::from([(Resource::Cpu, slots), (Resource::Terraform, 1)]);
            orders.fail_fast = fail_fast;
            if after_a_crash {
                orders.gate = Arc::new(DeadRun::default());
            }
        }))
    }

    fn most(&self, resource: Resource) -> usize {
        self.shared.busy.lock().unwrap().get(&resource).map_or(0, |(_, most)| *most)
    }

    /// Where in the run a step first started, with the facts that it was given.
    fn first(&self, step: usize) -> Option<(usize, Vec<String>)> {
        let lines = self.shared.lines.lock().unwrap();
        lines.iter().enumerate().find_map(|(at, line)| match line {
            Line::Start(id, facts) if *id == self.ids[step] => Some((at, facts.clone())),
            _ => None,
        })
    }

    /// Where in the run a step was last at work.
    fn last(&self, step: usize) -> Option<usize> {
        let lines = self.shared.lines.lock().unwrap();
        lines.iter().rposition(|line| match line {
            Line::Repair(id) | Line::Start(id, _) | Line::End(id) => *id == self.ids[step],
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Every step gets exactly one verdict. None starts before all that it needs has ended, none without success of each
    /// need and of at least one of its soft ones, and each gets the facts of those that succeeded. Steps at work never
    /// exceed a limit.
    #[test]
    fn a_step_runs_once_after_its_needs_with_their_facts_and_within_the_limits(
        plans in plans(),
        slots in 1..4_usize,
        fail_fast in any::<bool>(),
        after_a_crash in any::<bool>(),
    ) {
        let world = world(&plans);
        let actions: Vec<Action> = plans.iter().map(|plan| if plan.is_only_read { Action::Read } else { Action::Up }).collect();
        let outcome = world.go(&actions, slots, fail_fast, after_a_crash);
        prop_assert_eq!(outcome.verdicts.len(), plans.len());
        prop_assert!(world.most(Resource::Cpu) <= slots && world.most(Resource::Terraform) <= 1);
        for (step, plan) in plans.iter().enumerate() {
            let Some((started, facts)) = world.first(step) else { continue };
            let id = &world.ids[step];
            prop_assert!(!plan.is_only_read, "{id} was only to be read");
            let repaired = world.shared.lines.lock().unwrap().iter().position(|line| *line == Line::Repair(id.clone()));
            prop_assert_eq!(repaired.is_some_and(|repaired| repaired < started), after_a_crash);
            for need in world.needs[step].iter().chain(&world.soft[step]) {
                let succeeded = outcome.verdicts[&world.ids[*need]].succeeded();
                prop_assert!(succeeded || world.soft[step].contains(need), "{id} ran, although {need} did not succeed");
                prop_assert!(world.last(*need).is_none_or(|ended| ended < started), "{id} did not wait for {need}");
            }
            let expected: Vec<String> = world.soft[step]
                .iter()
                .filter(|need| outcome.verdicts[&world.ids[**need]].succeeded())
                .map(|need| world.ids[*need].to_string())
                .collect();
            prop_assert!(world.soft[step].is_empty() || !expected.is_empty(), "{id} ran without any of its soft needs");
            prop_assert_eq!(facts, expected);
        }
    }

    /// A teardown goes the other way: a step is deleted after everything that needs it, and only if all of that is gone.
    #[test]
    fn a_step_is_deleted_after_all_that_need_it(plans in plans(), slots in 1..4_usize, fail_fast in any::<bool>()) {
        let world = world(&plans);
        let outcome = world.go(&vec![Action::Destroy; plans.len()], slots, fail_fast, false);
        prop_assert_eq!(outcome.verdicts.len(), plans.len());
        prop_assert!(world.most(Resource::Cpu) <= slots && world.most(Resource::Terraform) <= 1);
        for step in 0..plans.len() {
            for need in &world.needs[step] {
                let Some((started, _)) = world.first(*need) else { continue };
                let follower = &outcome.verdicts[&world.ids[step]];
                prop_assert!(follower.succeeded(), "{need} was deleted, although {step} is not: {follower:?}");
                prop_assert!(world.last(step).is_none_or(|ended| ended < started));
            }
        }
    }
}
