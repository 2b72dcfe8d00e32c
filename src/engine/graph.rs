//! The graph of steps. A step's types are checked when it is added and erased behind [`Node`], so that steps with
//! different inputs and facts fit into one graph.

use std::{any::Any, collections::BTreeMap, marker::PhantomData, sync::Arc, time::Duration};

use futures::future::BoxFuture;

use crate::{
    step::{Check, Context, Resource, Result, Seen, State, Step, StepId},
    task::Claim,
};

/// A reference to a step's future fact. Passed to `add` as the input of another step.
#[derive(Debug)]
pub struct Handle<F> {
    id: StepId,
    fact: PhantomData<fn() -> F>,
}

impl<F> Handle<F> {
    pub fn id(&self) -> &StepId {
        &self.id
    }
}

impl<F> Clone for Handle<F> {
    fn clone(&self) -> Self {
        Self { id: self.id.clone(), fact: PhantomData }
    }
}

/// The facts that the steps of a run have produced so far.
#[derive(Debug, Clone, Default)]
pub struct Facts(BTreeMap<StepId, Arc<dyn Any + Send + Sync>>);

impl Facts {
    pub(super) fn insert(&mut self, step: StepId, fact: Arc<dyn Any + Send + Sync>) {
        self.0.insert(step, fact);
    }

    /// The facts of some steps.
    pub(super) fn of(&self, steps: &[StepId]) -> Self {
        let known = |step: &StepId| Some((step.clone(), self.0.get(step)?.clone()));
        Self(steps.iter().filter_map(known).collect())
    }

    /// The fact behind a handle, if its step has produced one.
    pub fn get<F: Clone + 'static>(&self, handle: &Handle<F>) -> Option<F> {
        self.0.get(&handle.id)?.downcast_ref::<F>().cloned()
    }
}

/// A step's needs: handles, alone or in tuples, vectors and options.
pub trait Needs: Clone + Send + Sync + 'static {
    type Input: Clone + Send + Sync + 'static;

    /// The steps that must have succeeded.
    fn ids(&self, into: &mut Vec<StepId>);

    /// The steps that must have ended, with any verdict.
    fn soft(&self, _into: &mut Vec<StepId>) {}

    fn take(&self, facts: &Facts) -> Option<Self::Input>;
}

impl<F: Clone + Send + Sync + 'static> Needs for Handle<F> {
    type Input = F;

    fn ids(&self, into: &mut Vec<StepId>) {
        into.push(self.id.clone());
    }

    fn take(&self, facts: &Facts) -> Option<F> {
        facts.get(self)
    }
}

impl<N: Needs> Needs for Option<N> {
    type Input = Option<N::Input>;

    fn ids(&self, into: &mut Vec<StepId>) {
        if let Some(need) = self {
            need.ids(into);
        }
    }

    fn soft(&self, into: &mut Vec<StepId>) {
        if let Some(need) = self {
            need.soft(into);
        }
    }

    fn take(&self, facts: &Facts) -> Option<Self::Input> {
        match self {
            Some(need) => need.take(facts).map(Some),
            None => Some(None),
        }
    }
}

impl<N: Needs> Needs for Vec<N> {
    type Input = Vec<N::Input>;

    fn ids(&self, into: &mut Vec<StepId>) {
        for need in self {
            need.ids(into);
        }
    }

    fn soft(&self, into: &mut Vec<StepId>) {
        for need in self {
            need.soft(into);
        }
    }

    fn take(&self, facts: &Facts) -> Option<Self::Input> {
        self.iter().map(|need| need.take(facts)).collect()
    }
}

macro_rules! tuple_needs {
    ($($name:ident),*) => {
        #[allow(non_snake_case)]
        impl<$($name: Needs),*> Needs for ($($name,)*) {
            type Input = ($($name::Input,)*);

            fn ids(&self, _into: &mut Vec<StepId>) {
                let ($($name,)*) = self;
                $($name.ids(_into);)*
            }

            fn soft(&self, _into: &mut Vec<StepId>) {
                let ($($name,)*) = self;
                $($name.soft(_into);)*
            }

            fn take(&self, _facts: &Facts) -> Option<Self::Input> {
                let ($($name,)*) = self;
                Some(($($name.take(_facts)?,)*))
            }
        }
    };
}
tuple_needs!();
tuple_needs!(A, B);
tuple_needs!(A, B, C);

/// The facts of several steps, as far as they succeed. The step that takes them runs if at least one of them does.
#[derive(Debug, Clone)]
pub struct AnyOf<F>(pub Vec<Handle<F>>);

impl<F: Clone + Send + Sync + 'static> Needs for AnyOf<F> {
    type Input = Vec<F>;

    fn ids(&self, _into: &mut Vec<StepId>) {}

    fn soft(&self, into: &mut Vec<StepId>) {
        into.extend(self.0.iter().map(|handle| handle.id.clone()));
    }

    fn take(&self, facts: &Facts) -> Option<Vec<F>> {
        let facts: Vec<F> = self.0.iter().filter_map(|handle| facts.get(handle)).collect();
        (!facts.is_empty()).then_some(facts)
    }
}

/// Order without facts: the step waits for these steps and takes nothing from them.
#[derive(Debug, Clone, Default)]
pub struct After(Vec<StepId>);

impl After {
    pub fn step<F>(mut self, handle: &Handle<F>) -> Self {
        self.0.push(handle.id.clone());
        self
    }
}

impl Needs for After {
    type Input = ();

    fn ids(&self, into: &mut Vec<StepId>) {
        into.extend(self.0.iter().cloned());
    }

    fn take(&self, _facts: &Facts) -> Option<()> {
        Some(())
    }
}

/// What `read` found, with the fact's type erased.
pub(super) struct Found {
    pub fact: Option<Arc<dyn Any + Send + Sync>>,
    pub state: State,
    pub detail: String,
}

/// What `check` found, with the change's type erased; it is passed to the `apply` of the same step.
pub(super) enum Checked {
    Clean(String),
    Change { lines: Vec<String>, change: Box<dyn Any + Send> },
}

/// A step with its types erased.
pub(super) trait Node: Send + Sync {
    fn resource(&self) -> Resource;
    fn is_shared(&self) -> bool;
    fn estimate(&self) -> Duration;
    /// Whether all inputs exist.
    fn ready(&self, facts: &Facts) -> bool;
    fn read<'a>(&'a self, cx: &'a Context, facts: &'a Facts) -> BoxFuture<'a, Result<Found>>;
    fn check<'a>(&'a self, cx: &'a Context, facts: &'a Facts) -> BoxFuture<'a, Result<Checked>>;
    fn apply<'a>(
        &'a self,
        cx: &'a Context,
        facts: &'a Facts,
        change: Box<dyn Any + Send>,
    ) -> BoxFuture<'a, Result<()>>;
    fn plan_destroy<'a>(&'a self, cx: &'a Context, facts: &'a Facts)
    -> BoxFuture<'a, Result<Option<String>>>;
    fn destroy<'a>(&'a self, cx: &'a Context, facts: &'a Facts) -> BoxFuture<'a, Result<Option<String>>>;
    fn repair<'a>(
        &'a self,
        cx: &'a Context,
        facts: &'a Facts,
        left: &'a [Claim],
    ) -> BoxFuture<'a, Result<()>>;
}

struct Joined<S, N> {
    step: S,
    needs: N,
}

impl<S, N> Joined<S, N>
where
    S: Step,
    N: Needs<Input = S::Input>,
{
    fn input(&self, facts: &Facts) -> S::Input {
        self.needs.take(facts).expect("a step starts only when its inputs exist")
    }
}

impl<S, N> Node for Joined<S, N>
where
    S: Step,
    N: Needs<Input = S::Input>,
{
    fn resource(&self) -> Resource {
        self.step.resource()
    }

    fn is_shared(&self) -> bool {
        self.step.is_shared()
    }

    fn estimate(&self) -> Duration {
        self.step.estimate()
    }

    fn ready(&self, facts: &Facts) -> bool {
        self.needs.take(facts).is_some()
    }

    fn read<'a>(&'a self, cx: &'a Context, facts: &'a Facts) -> BoxFuture<'a, Result<Found>> {
        Box::pin(async move {
            let Seen { fact, state, detail } = self.step.read(cx, &self.input(facts)).await?;
            let fact = fact.map(|fact| Arc::new(fact) as Arc<dyn Any + Send + Sync>);
            Ok(Found { fact, state, detail })
        })
    }

    fn check<'a>(&'a self, cx: &'a Context, facts: &'a Facts) -> BoxFuture<'a, Result<Checked>> {
        Box::pin(async move {
            Ok(match self.step.check(cx, &self.input(facts)).await? {
                Check::Clean(why) => Checked::Clean(why),
                Check::Change { lines, change } => Checked::Change { lines, change: Box::new(change) },
            })
        })
    }

    fn apply<'a>(
        &'a self,
        cx: &'a Context,
        facts: &'a Facts,
        change: Box<dyn Any + Send>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let change =
                *change.downcast::<S::Change>().expect("a change is passed to the step that returned it");
            self.step.apply(cx, &self.input(facts), change).await
        })
    }

    fn plan_destroy<'a>(
        &'a self,
        cx: &'a Context,
        facts: &'a Facts,
    ) -> BoxFuture<'a, Result<Option<String>>> {
        Box::pin(async move { self.step.plan_destroy(cx, self.needs.take(facts).as_ref()).await })
    }

    fn destroy<'a>(&'a self, cx: &'a Context, facts: &'a Facts) -> BoxFuture<'a, Result<Option<String>>> {
        Box::pin(async move { self.step.destroy(cx, self.needs.take(facts).as_ref()).await })
    }

    fn repair<'a>(
        &'a self,
        cx: &'a Context,
        facts: &'a Facts,
        left: &'a [Claim],
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.step.repair(cx, self.needs.take(facts).as_ref(), left).await })
    }
}

pub(super) struct Entry {
    pub node: Arc<dyn Node>,
    /// All steps that it waits for.
    pub needs: Vec<StepId>,
    /// Those of them that may fail: the step still runs.
    pub soft: Vec<StepId>,
}

/// The steps, each with its needs. There are no cycles by construction: a step can need only steps that were added
/// before it.
#[derive(Default)]
pub struct Graph {
    pub(super) entries: BTreeMap<StepId, Entry>,
}

impl Graph {
    /// Adds a step.
    ///
    /// # Panics
    /// When a step with the same id was added before, which is a bug in the plan.
    pub fn add<S, N>(&mut self, step: S, needs: N) -> Handle<S::Fact>
    where
        S: Step,
        N: Needs<Input = S::Input>,
    {
        let id = step.id();
        let mut ids = Vec::new();
        needs.ids(&mut ids);
        let mut soft = Vec::new();
        needs.soft(&mut soft);
        ids.extend(soft.iter().cloned());
        ids.sort();
        ids.dedup();
        let entry = Entry { node: Arc::new(Joined { step, needs }), needs: ids, soft };
        let duplicate = self.entries.insert(id.clone(), entry);
        assert!(duplicate.is_none(), "two steps have the id `{id}`");
        Handle { id, fact: PhantomData }
    }

    /// The ids of all steps.
    pub fn ids(&self) -> impl Iterator<Item = &StepId> {
        self.entries.keys()
    }

    /// What a step waits for.
    pub fn needs(&self, step: &StepId) -> &[StepId] {
        self.entries.get(step).map_or(&[], |entry| &entry.needs)
    }

    /// The given steps and everything they depend on.
    pub fn with_ancestors(
        &self,
        steps: impl IntoIterator<Item = StepId>,
    ) -> std::collections::BTreeSet<StepId> {
        let mut found = std::collections::BTreeSet::new();
        let mut open: Vec<StepId> = steps.into_iter().collect();
        while let Some(step) = open.pop() {
            // Each step once, however many paths lead to it: in a rollout of many regions in sequence they multiply.
            if !found.contains(&step) {
                open.extend(self.needs(&step).iter().cloned());
                found.insert(step);
            }
        }
        found
    }

    /// For each step, the longest estimated time from its start to the end of everything that depends on it.
    /// Iterative, because a rollout of 64 regions in sequence would recurse deeply.
    pub(super) fn remaining(&self) -> BTreeMap<StepId, Duration> {
        let mut followers: BTreeMap<&StepId, Vec<&StepId>> = BTreeMap::new();
        for (step, entry) in &self.entries {
            for need in &entry.needs {
                followers.entry(need).or_default().push(step);
            }
        }
        let mut known: BTreeMap<StepId, Duration> = BTreeMap::new();
        let mut open: Vec<&StepId> = self.entries.keys().collect();
        while let Some(&step) = open.last() {
            if known.contains_key(step) {
                open.pop();
                continue;
            }
            let after = followers.get(step).map_or(&[][..], Vec::as_slice);
            let unknown: Vec<&StepId> =
                after.iter().copied().filter(|next| !known.contains_key(*next)).collect();
            if unknown.is_empty() {
                let tail = after.iter().map(|next| known[*next]).max().unwrap_or_default();
                known.insert(step.clone(), tail + self.entries[step].node.estimate());
                open.pop();
            } else {
                open.extend(unknown);
            }
        }
        known
    }
}
