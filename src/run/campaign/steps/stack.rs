//! A stack, as `phase::terraform::stack` applies and deletes one:
//!
//! 1. The apply is claimed, then the lock, under an id that the step has chosen. Then the lock is created.
//! 2. Resources are created one by one. Only at the end, or when it is interrupted, the state is written.
//! 3. The lock is deleted, and both claims are released: the lock's first, the apply's once the state is saved.
//!
//! While a claim of an apply is open, what it created and is in no state is adopted: by the next apply, and by a teardown
//! before it deletes the rest.

use std::collections::BTreeMap;

use crate::{
    run::campaign::world::{Hand, Resource, Stack, TfState, Things},
    step::{Check, Claim, Class, Context, Error, Phase, Result, Seen, Step, StepId},
};

type Addresses = &'static [(&'static str, bool)];

/// The stacks of a region, and their resources: an address, and whether its name is fixed. The others can be created
/// twice, as an elastic address or a network can.
pub const STACKS: [(&str, Addresses); 2] = [
    ("foundation", &[("key", true), ("network", false), ("address", false)]),
    ("cluster", &[("cluster", true), ("nodes", false)]),
];

pub struct Stacked {
    pub hand: Hand,
    pub stack: Stack,
    pub resources: Addresses,
}

/// What an apply does.
pub struct Plan {
    serial: u32,
    /// What exists of the state, and what is adopted.
    kept: BTreeMap<&'static str, u32>,
    create: Vec<(&'static str, bool)>,
}

/// What a deletion does.
#[derive(PartialEq)]
struct Doomed {
    serial: u32,
    listed: BTreeMap<&'static str, u32>,
    adopted: BTreeMap<&'static str, u32>,
}

struct Held {
    claim: Claim,
    id: String,
}

/// How a command of terraform ended.
struct Said {
    result: Result<()>,
    is_saved: bool,
}

impl Stacked {
    fn named(&self) -> (String, String) {
        (format!("states-{}", self.stack.0), self.stack.1.to_owned())
    }

    async fn state(&self) -> Result<TfState> {
        let state = |things: &Things| things.states.get(&self.stack).cloned();
        Ok(self.hand.read("read the state", state).await?.unwrap_or_default())
    }

    async fn existing(&self) -> Result<BTreeMap<u32, Resource>> {
        self.hand
            .read("list the resources", |things| {
                let ours = things.resources.iter().filter(|(_, one)| one.stack == self.stack);
                ours.map(|(id, one)| (*id, one.clone())).collect()
            })
            .await
    }

    /// The open claims of applies.
    fn applies(cx: &Context) -> Vec<Claim> {
        cx.claims.open().into_iter().filter(|claim| matches!(claim, Claim::Apply { .. })).collect()
    }

    /// Nothing of an earlier apply has to be adopted any more.
    fn settle(&self, cx: &Context) {
        for claim in Self::applies(cx) {
            self.hand.release(cx, &claim);
        }
    }

    /// What exists, is in no state, and was created since an apply that died.
    fn orphans(
        cx: &Context,
        state: &TfState,
        existing: &BTreeMap<u32, Resource>,
    ) -> BTreeMap<&'static str, u32> {
        let start = |claim: &Claim| match claim {
            Claim::Apply { since, .. } => since.parse::<u128>().unwrap(),
            _ => 0,
        };
        let Some(since) = Self::applies(cx).iter().map(start).min() else { return BTreeMap::new() };
        let is_orphan = |(id, one): &(&u32, &Resource)| {
            let is_listed = state.resources.values().any(|listed| listed == *id);
            let is_planned =
                state.resources.get(one.address).is_none_or(|listed| !existing.contains_key(listed));
            !is_listed && is_planned && one.born.as_millis() >= since
        };
        existing.iter().filter(is_orphan).map(|(id, one)| (one.address, *id)).collect()
    }

    async fn plan(&self, cx: &Context) -> Result<(Plan, bool)> {
        let state = self.state().await?;
        let existing = self.existing().await?;
        let mut kept = Self::orphans(cx, &state, &existing);
        kept.extend(state.resources.iter().filter(|(_, id)| existing.contains_key(id)));
        let create: Vec<_> =
            self.resources.iter().filter(|(address, _)| !kept.contains_key(address)).copied().collect();
        let is_clean = state.is_complete && state.resources == kept && create.is_empty();
        Ok((Plan { serial: state.serial, kept, create }, is_clean))
    }

    /// Takes the lock, as `phase::terraform::lock` does.
    async fn hold(&self, cx: &Context) -> Result<Held> {
        self.free(cx, &cx.claims.open()).await?;
        let (bucket, key) = self.named();
        let id = self.hand.world.name("lock");
        let held = Held { claim: Claim::StateLock { bucket, key, id: id.clone() }, id };
        self.hand.claim(cx, &held.claim).await?;
        if self.hand.create_lock(cx, &self.stack, &held.claim, &held.id).await? {
            return Ok(held);
        }
        let holder = self.hand.read("read the lock", |things| things.locks.get(&self.stack).cloned()).await?;
        if holder.is_some_and(|holder| holder.id == held.id) {
            return Ok(held);
        }
        self.hand.release(cx, &held.claim);
        Err(Error::msg(Class::Conflict, "the state is locked"))
    }

    async fn let_go(&self, cx: &Context, held: Held) {
        match self.hand.delete_lock(cx, &self.stack, &held.claim, &held.id).await {
            Ok(()) => self.hand.release(cx, &held.claim),
            Err(error) => cx.warn(format!("failed to unlock the state: {error}"), "nothing to do"),
        }
    }

    async fn free(&self, cx: &Context, claims: &[Claim]) -> Result<()> {
        for claim in claims {
            let Claim::StateLock { id, .. } = claim else { continue };
            self.hand.delete_lock(cx, &self.stack, claim, id).await?;
            self.hand.release(cx, claim);
        }
        Ok(())
    }

    /// A plan that another run has made stale is refused.
    async fn must_be(&self, serial: u32) -> Result<()> {
        let now = self.state().await?.serial;
        if now == serial { Ok(()) } else { Err(Error::transient("the saved plan is stale")) }
    }

    async fn create(&self, cx: &Context, claim: &Claim, plan: Plan) -> Said {
        if let Err(error) = self.must_be(plan.serial).await {
            return Said { result: Err(error), is_saved: true };
        }
        let mut resources = plan.kept;
        let mut result = Ok(());
        for one in plan.create {
            if cx.cancel.soft.is_cancelled() {
                result = Err(Error::cancelled());
                break;
            }
            match self.hand.create(cx, &self.stack, claim, one).await {
                Ok(id) => drop(resources.insert(one.0, id)),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        let state = TfState { serial: plan.serial + 1, resources, is_complete: result.is_ok() };
        match self.hand.put_state(cx, &self.stack, claim, state).await {
            Ok(()) => Said { result, is_saved: true },
            Err(error) => Said { result: Err(error), is_saved: false },
        }
    }

    /// What a deletion deletes; `None` if nothing exists.
    async fn doomed(&self, cx: &Context) -> Result<Option<Doomed>> {
        self.free(cx, &cx.claims.open()).await?;
        let is_locked =
            self.hand.read("read the lock", |things| things.locks.contains_key(&self.stack)).await?;
        let state = self.state().await?;
        let mut adopted = BTreeMap::new();
        if !is_locked {
            let existing = self.existing().await?;
            adopted = Self::orphans(cx, &state, &existing);
        }
        if state.resources.is_empty() && adopted.is_empty() {
            return Ok(None);
        }
        if is_locked {
            return Err(Error::msg(Class::Conflict, "the state is locked"));
        }
        Ok(Some(Doomed { serial: state.serial, listed: state.resources, adopted }))
    }

    async fn adopt(&self, cx: &Context, held: &Held, doomed: Doomed) -> Result<()> {
        self.must_be(doomed.serial).await?;
        let mut resources = doomed.listed;
        resources.extend(doomed.adopted);
        let state = TfState { serial: doomed.serial + 1, resources, is_complete: false };
        self.hand.put_state(cx, &self.stack, &held.claim, state).await
    }

    async fn delete(&self, cx: &Context, held: &Held, doomed: Doomed) -> Result<()> {
        self.must_be(doomed.serial).await?;
        let mut resources = doomed.listed;
        let mut result = Ok(());
        while let Some((address, id)) = resources.last_key_value().map(|(address, id)| (*address, *id)) {
            if cx.cancel.soft.is_cancelled() {
                result = Err(Error::cancelled());
                break;
            }
            if let Err(error) = self.hand.delete(cx, &self.stack, &held.claim, id).await {
                result = Err(error);
                break;
            }
            resources.remove(address);
        }
        let state = TfState { serial: doomed.serial + 1, resources, is_complete: false };
        self.hand.put_state(cx, &self.stack, &held.claim, state).await?;
        result
    }
}

impl Step for Stacked {
    type Input = ();
    type Fact = ();
    type Change = Plan;

    fn id(&self) -> StepId {
        StepId::part(Phase::Terraform, &self.stack.0, self.stack.1)
    }

    async fn read(&self, _cx: &Context, (): &()) -> Result<Seen<()>> {
        let state = self.state().await?;
        let fact = state.is_complete.then_some(());
        let detail = format!("{} resources", state.resources.len());
        Ok(match fact {
            Some(()) => Seen::ok((), detail),
            None => Seen::missing(detail),
        })
    }

    async fn repair(&self, cx: &Context, _input: Option<&()>, left: &[Claim]) -> Result<()> {
        self.hand.repairs(cx, left);
        self.free(cx, left).await?;
        self.hand.has_repaired(cx, left);
        Ok(())
    }

    async fn check(&self, cx: &Context, (): &()) -> Result<Check<Plan>> {
        let (plan, is_clean) = self.plan(cx).await?;
        if is_clean {
            self.settle(cx);
            return Ok(Check::Clean(format!("{} resources", plan.kept.len())));
        }
        Ok(Check::Change { lines: vec!["+ resources".to_owned()], change: plan })
    }

    async fn apply(&self, cx: &Context, (): &(), plan: Plan) -> Result<()> {
        let (bucket, key) = self.named();
        let since = self.hand.world.now().as_millis().to_string();
        let claim = Claim::Apply { bucket, key, since };
        self.hand.claim(cx, &claim).await?;
        let held = self.hold(cx).await?;
        let said = self.create(cx, &claim, plan).await;
        self.let_go(cx, held).await;
        if said.result.is_ok() {
            self.settle(cx);
        } else if said.is_saved {
            self.hand.release(cx, &claim);
        }
        said.result
    }

    async fn plan_destroy(&self, cx: &Context, _input: Option<&()>) -> Result<Option<String>> {
        let doomed = self.doomed(cx).await?;
        Ok(doomed.map(|doomed| format!("{} resources", doomed.listed.len() + doomed.adopted.len())))
    }

    async fn destroy(&self, cx: &Context, _input: Option<&()>) -> Result<Option<String>> {
        let mut doomed = self.doomed(cx).await?;
        if let Some(found) = doomed.take_if(|doomed| !doomed.adopted.is_empty()) {
            let held = self.hold(cx).await?;
            let adopted = self.adopt(cx, &held, found).await;
            self.let_go(cx, held).await;
            adopted?;
            doomed = self.doomed(cx).await?;
        }
        let Some(doomed) = doomed else {
            self.settle(cx);
            return Ok(None);
        };
        let count = doomed.listed.len();
        let held = self.hold(cx).await?;
        let deleted = self.delete(cx, &held, doomed).await;
        self.let_go(cx, held).await;
        deleted?;
        self.settle(cx);
        Ok(Some(format!("{count} resources deleted")))
    }
}
