//! One step, from start to verdict: look, compare, make, look again; again after transient failures.

use std::{any::Any, future::Future, sync::Arc, time::Duration};

use backon::BackoffBuilder;
use tokio::time::Instant;

use super::graph::{Checked, Facts, Found, Node};
use crate::step::{Action, Class, Context, Error, Event, Result, State, Verdict};

/// How often and how long a step is tried.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Tries of one step after transient failures, the first included.
    pub attempts: u32,
    pub first_delay: Duration,
    pub longest_delay: Duration,
    /// A step that takes longer has failed.
    pub deadline: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            attempts: 6,
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(30),
            deadline: Duration::from_secs(90 * 60),
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
) -> Ended {
    let end = Instant::now() + budget.deadline;
    let mut delays = backon::ExponentialBuilder::default()
        .with_min_delay(budget.first_delay)
        .with_max_delay(budget.longest_delay)
        .with_max_times(budget.attempts.saturating_sub(1) as usize)
        .build();
    let mut attempt = 1;
    loop {
        let tried = tokio::select! {
            tried = tokio::time::timeout_at(end, once(node, action, cx, facts)) => tried,
            () = cx.cancel.hard.cancelled() => return Verdict::Cancelled.into(),
        };
        let error = match tried {
            Ok(Ok(ended)) => return ended,
            Ok(Err(error)) => error,
            Err(_) => {
                Error::permanent(format!("took longer than {} minutes", budget.deadline.as_secs() / 60))
            }
        };
        if error.class == Class::Cancelled {
            return Verdict::Cancelled.into();
        }
        let delay = (error.class == Class::Transient).then(|| delays.next()).flatten();
        let Some(longest) = delay else {
            let Error { class, hint, .. } = &error;
            let (class, hint) = (*class, hint.clone());
            return Verdict::Failed { class, chain: error.chain(), hint, attempts: attempt }.into();
        };
        // full jitter: any time up to the backoff, so that many who failed together do not return together
        let delay = longest.mul_f64(rand::random());
        attempt += 1;
        let (step, error) = (cx.step.clone(), error.to_string());
        cx.emit(Event::StepRetry { step, attempt, of: budget.attempts, delay, error });
        let pause = or_cancelled(cx, async {
            tokio::time::sleep(delay).await;
            Ok(())
        });
        if pause.await.is_err() {
            return Verdict::Cancelled.into();
        }
    }
}

async fn or_cancelled<T>(cx: &Context, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        () = cx.cancel.soft.cancelled() => Err(Error::cancelled()),
    }
}

async fn once(node: &dyn Node, action: Action, cx: &Context, facts: &Facts) -> Result<Ended> {
    match action {
        Action::Read => Ok(read(or_cancelled(cx, node.read(cx, facts)).await?)),
        Action::Check => check(node, cx, facts).await,
        Action::Up => up(node, cx, facts).await,
        Action::Destroy => destroy(node, cx, facts).await,
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

async fn up(node: &dyn Node, cx: &Context, facts: &Facts) -> Result<Ended> {
    let clean = match node.check(cx, facts).await? {
        Checked::Clean(why) => Some(why),
        Checked::Change { change, .. } => {
            if cx.cancel.soft.is_cancelled() {
                return Err(Error::cancelled());
            }
            cx.events.record(Event::EffectStarted { step: cx.step.clone() }).await?;
            let applied = node.apply(cx, facts, change).await;
            cx.emit(Event::EffectEnded { step: cx.step.clone() });
            applied?;
            None
        }
    };
    let found = node.read(cx, facts).await?;
    let Some(fact) = found.fact else {
        return Err(Error::transient(format!("made, but not there when looked at again: {}", found.detail)));
    };
    let verdict = match clean {
        Some(summary) => Verdict::Unchanged { summary },
        None => Verdict::Changed { summary: found.detail },
    };
    Ok(Ended { verdict, fact: Some(fact) })
}

async fn destroy(node: &dyn Node, cx: &Context, facts: &Facts) -> Result<Ended> {
    cx.events.record(Event::EffectStarted { step: cx.step.clone() }).await?;
    let gone = node.destroy(cx, facts).await;
    cx.emit(Event::EffectEnded { step: cx.step.clone() });
    Ok(match gone? {
        Some(summary) => Verdict::Deleted { summary },
        None => Verdict::Unchanged { summary: "nothing there".to_owned() },
    }
    .into())
}
