//! Takes one step from its start to its verdict.
//!
//! What an attempt does depends on the action:
//!
//! - `Read`: `read`, and the verdict reports what it found.
//! - `Check`: `check`, then `read` for the fact that later steps take; nothing is changed.
//! - `Up`: `repair`; `check`; `apply` if that found a change; then `read`, which returns the fact and shows that the change is
//!   visible.
//! - `PlanDestroy`: `repair`, then `plan_destroy`; nothing else is changed.
//! - `Destroy`: `repair`, then `destroy`, which finds out by itself what exists.
//!
//! Invariants:
//!
//! - An effect starts only after `EffectStarted` is in the journal on disk. `EffectEnded` follows when `apply` or
//!   `destroy` returns, also with an error. It is missing after a hard cancel, the step's deadline, a panic or a crash:
//!   then the effect may be half done.
//! - Each attempt starts over with `repair` and `check`: an attempt that failed may have done part of its work.
//! - `repair` gets the step's open claims: those of dead runs, which the gate returns once their owners are proved dead,
//!   and those of this run's earlier attempts. They are released when it succeeds, except for those that the step settles
//!   later and releases itself. `Read` and `Check` repair nothing.
//! - Before any of that, and before a change of what all regions share, other runs are waited for (`gate`). What `check`
//!   has read before such a wait may be outdated, so it is called again.
//! - Only transient errors are retried ([`crate::task::retry`]). The deadline covers all attempts and pauses, but not the
//!   time in which other runs are waited for.
//! - A soft cancel ends pauses and the reads of `Read` and `Check`, and prevents an effect from starting. It does
//!   not drop a running effect: `apply` and `destroy` see the token and end at their next safe point. The read after
//!   an effect is not dropped either, so that what was created is also reported. A hard cancel and the deadline drop a running effect.

use std::{
    any::Any,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    gate::Gate,
    graph::{Checked, Facts, Found, Node},
};
use crate::{
    step::{Action, Claim, Context, Error, Event, Result, State, Verdict},
    task::{Class, retry},
};

/// The summary of a step of which nothing exists.
pub const NOTHING_TO_DELETE: &str = "nothing to delete";

/// How long a step is attempted.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    pub retries: retry::Policy,
    /// A step that takes longer than this has failed, pauses included.
    pub deadline: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            // An outage of an API that outlasts the SDK's own retries ends within minutes: EKS replaces a failed API
            // server, RDS fails over in one or two minutes. Ten minutes are also less than what giving up costs, which
            // is to run again for the 25 minutes of a first `up`. The pauses are short enough to notice the end of an
            // outage soon, and long enough not to prolong it.
            retries: retry::Policy {
                patience: Duration::from_mins(10),
                first_delay: Duration::from_secs(1),
                longest_delay: Duration::from_secs(30),
            },
            // Creating a cluster or a database takes 10 to 15 minutes, and upgrading one, or deleting an RDS Proxy, can
            // take an hour. What remains is for two outages.
            deadline: Duration::from_mins(90),
        }
    }
}

/// How a step ended, and the fact it gives to others.
pub(super) struct Ended {
    pub verdict: Verdict,
    pub fact: Option<Arc<dyn Any + Send + Sync>>,
}

impl From<Verdict> for Ended {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, fact: None }
    }
}

/// Runs a step to its verdict.
pub(super) async fn run(
    node: &dyn Node,
    action: Action,
    cx: &Context,
    facts: &Facts,
    budget: Budget,
    gate: &dyn Gate,
) -> Ended {
    let time = Allowance::of(budget.deadline);
    let gate = Gated { gate, time: &time };
    let mut attempts = budget.retries.start();
    loop {
        let result = tokio::select! {
            result = once(node, action, cx, facts, &gate) => result,
            () = time.is_over() => {
                let limit = jiff::SignedDuration::try_from(budget.deadline).unwrap_or_default();
                Err(Error::permanent(format!("timed out after {limit:#}"))
                    .with_hint("run the same command again: the step is checked first"))
            }
            () = cx.cancel.hard.cancelled() => return Verdict::Cancelled.into(),
        };
        let error = match result {
            Ok(ended) => return ended,
            Err(error) => error,
        };
        if error.class == Class::Cancelled {
            return Verdict::Cancelled.into();
        }
        let failed_attempt = attempts.number();
        let Some(retry::Pause { delay, remaining }) = attempts.pause_after(&error) else {
            let chain = error.chain();
            let Error { class, hint, .. } = error;
            return Verdict::Failed { class, chain, fix: hint, attempts: failed_attempt }.into();
        };
        cx.emit(Event::StepRetry {
            step: cx.step.clone(),
            attempt: attempts.number(),
            delay,
            remaining,
            error: error.to_string(),
        });
        let pause = async {
            tokio::time::sleep(delay).await;
            Ok(())
        };
        if or_cancelled(cx, pause).await.is_err() {
            return Verdict::Cancelled.into();
        }
    }
}

/// Drops `work` at a soft cancel: for what changes nothing.
async fn or_cancelled<T>(cx: &Context, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        // The cancel first: a step that waits for another one's lease would go on with it after the run was told to stop.
        biased;
        () = cx.cancel.soft.cancelled() => Err(Error::cancelled()),
        done = work => done,
    }
}

/// One attempt.
async fn once(
    node: &dyn Node,
    action: Action,
    cx: &Context,
    facts: &Facts,
    gate: &Gated<'_>,
) -> Result<Ended> {
    // Whatever leads to a change: a deletion cannot even be planned while a dead run holds the lock.
    if !matches!(action, Action::Read | Action::Check) {
        for claim in gate.pass(cx).await? {
            cx.claims.insert(claim);
        }
        repair(node, cx, facts, gate).await?;
    }
    match action {
        Action::Read => Ok(read(or_cancelled(cx, node.read(cx, facts)).await?)),
        Action::Check => check(node, cx, facts).await,
        Action::Up => up(node, cx, facts, gate).await,
        Action::PlanDestroy => plan_destroy(node, cx, facts).await,
        Action::Destroy => destroy(node, cx, facts, gate).await,
    }
}

/// The time that a step may take.
struct Allowance(Mutex<Left>);

#[derive(Clone, Copy)]
enum Left {
    Until(Instant),
    /// It waits for other runs, which takes as long as they do.
    Paused,
}

impl Allowance {
    fn of(time: Duration) -> Self {
        Self(Mutex::new(Left::Until(Instant::now() + time)))
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `work` that does not count.
    async fn without<T>(&self, work: impl Future<Output = T>) -> T {
        let asked = Instant::now();
        let before = std::mem::replace(&mut *self.left(), Left::Paused);
        let done = work.await;
        if let Left::Until(end) = before {
            *self.left() = Left::Until(end + asked.elapsed());
        }
        done
    }

    async fn is_over(&self) {
        loop {
            let left = *self.left();
            match left {
                Left::Until(end) if Instant::now() >= end => return,
                Left::Until(end) => tokio::time::sleep_until(end).await,
                // Nothing tells when that ends, and a second more does not matter.
                Left::Paused => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }
}

/// The gate, whose waits are not part of the step's time.
struct Gated<'a> {
    gate: &'a dyn Gate,
    time: &'a Allowance,
}

impl Gated<'_> {
    async fn pass(&self, cx: &Context) -> Result<Vec<Claim>> {
        self.time.without(or_cancelled(cx, self.gate.pass(cx))).await
    }

    /// Waits for runs that change what all regions share, if this step does. Returns whether there was one.
    async fn share(&self, node: &dyn Node, cx: &Context) -> Result<bool> {
        if !node.is_shared() {
            return Ok(false);
        }
        self.time.without(or_cancelled(cx, self.gate.share(cx))).await
    }
}

fn read(found: Found) -> Ended {
    let summary = found.detail;
    let verdict = match found.state {
        State::Ok => Verdict::Unchanged { summary },
        State::Differs => Verdict::Differs { summary, changes: Vec::new() },
        State::Missing => Verdict::Missing { summary },
    };
    Ended { verdict, fact: found.fact }
}

async fn check(node: &dyn Node, cx: &Context, facts: &Facts) -> Result<Ended> {
    let checked = node.check(cx, facts).await?;
    let found = or_cancelled(cx, node.read(cx, facts)).await?;
    let verdict = match checked {
        Checked::Clean(summary) => Verdict::Unchanged { summary },
        Checked::Change { lines, .. } if found.state == State::Missing => {
            Verdict::Missing { summary: lines.first().cloned().unwrap_or_default() }
        }
        Checked::Change { lines, .. } => Verdict::Differs { summary: found.detail, changes: lines },
    };
    Ok(Ended { verdict, fact: found.fact })
}

async fn repair(node: &dyn Node, cx: &Context, facts: &Facts, gate: &Gated<'_>) -> Result<()> {
    let left = cx.claims.open();
    if left.is_empty() {
        return node.repair(cx, facts, &left).await;
    }
    gate.share(node, cx).await?;
    start_effect(cx, gate).await?;
    let repaired = node.repair(cx, facts, &left).await;
    cx.emit(Event::EffectEnded { step: cx.step.clone() });
    repaired?;
    for claim in left.iter().filter(|claim| !claim.outlives_repair()) {
        cx.release(claim);
    }
    Ok(())
}

async fn up(node: &dyn Node, cx: &Context, facts: &Facts, gate: &Gated<'_>) -> Result<Ended> {
    let mut checked = node.check(cx, facts).await?;
    if matches!(checked, Checked::Change { .. }) && gate.share(node, cx).await? {
        checked = node.check(cx, facts).await?;
    }
    let clean = match checked {
        Checked::Clean(why) => Some(why),
        Checked::Change { change, .. } => {
            start_effect(cx, gate).await?;
            let applied = node.apply(cx, facts, change).await;
            cx.emit(Event::EffectEnded { step: cx.step.clone() });
            applied?;
            None
        }
    };
    let found = node.read(cx, facts).await?;
    let Some(fact) = found.fact else {
        // Transient: some AWS APIs list a new resource only seconds after they created it.
        let what = match clean {
            Some(_) => "the check found no change, but the resource is missing",
            None => "applied, but missing on re-check",
        };
        return Err(Error::transient(format!("{what}: {}", found.detail)));
    };
    // A resource that exists but differs counts as well: `apply` has done what `check` asked for, and a difference that
    // only `read` sees, such as a pod that restarts, is what `status` reports.
    let verdict = match clean {
        Some(summary) => Verdict::Unchanged { summary },
        None => Verdict::Changed { summary: found.detail },
    };
    Ok(Ended { verdict, fact: Some(fact) })
}

/// Records that an effect starts, unless a cancel has come. It may also come while the record is written, so it is
/// read after that as well.
async fn start_effect(cx: &Context, gate: &Gated<'_>) -> Result<()> {
    if cx.cancel.soft.is_cancelled() {
        return Err(Error::cancelled());
    }
    // The clients ask for the AWS region that they reach, and a step may also change what the hub has of its own region.
    cx.fence.pass(cx.place())?;
    or_cancelled(cx, gate.gate.before_effect(cx)).await?;
    cx.events.record(Event::EffectStarted { step: cx.step.clone() }).await?;
    if cx.cancel.soft.is_cancelled() {
        // Otherwise the journal would name an effect that may be half done.
        cx.emit(Event::EffectEnded { step: cx.step.clone() });
        return Err(Error::cancelled());
    }
    Ok(())
}

async fn plan_destroy(node: &dyn Node, cx: &Context, facts: &Facts) -> Result<Ended> {
    let planned = node.plan_destroy(cx, facts).await?;
    let summary = planned.unwrap_or_else(|| NOTHING_TO_DELETE.to_owned());
    Ok(Verdict::Unchanged { summary }.into())
}

async fn destroy(node: &dyn Node, cx: &Context, facts: &Facts, gate: &Gated<'_>) -> Result<Ended> {
    gate.share(node, cx).await?;
    start_effect(cx, gate).await?;
    let deleted = node.destroy(cx, facts).await;
    cx.emit(Event::EffectEnded { step: cx.step.clone() });
    Ok(match deleted? {
        Some(summary) => Verdict::Deleted { summary },
        None => Verdict::Unchanged { summary: NOTHING_TO_DELETE.to_owned() },
    }
    .into())
}
