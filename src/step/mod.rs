//! The step trait: one unit of work of a run.

mod context;
#[cfg(test)]
pub mod testing;

use std::{fmt, future::Future, time::Duration};

pub use context::{Context, Teardown, World};

pub use crate::task::{
    Action, BadRegionName, Cancel, Claim, Class, Error, ErrorExt, Event, Events, Message, Phase, PlannedStep,
    Poll, RegionName, Result, RunId, StepId, Task, Verdict,
};

/// How a resource compares with the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Missing,
    /// It exists and, as far as `read` can determine, is in the configured state.
    Ok,
    /// It exists, but is outdated, unhealthy or incomplete.
    Differs,
}

/// What `read` found: the fact for other steps, and a few words for the operator.
#[derive(Debug, Clone)]
pub struct Seen<F> {
    pub fact: Option<F>,
    pub state: State,
    /// For instance "31 resources", "2/2 pods".
    pub detail: String,
}

impl<F> Seen<F> {
    pub fn missing(detail: impl Into<String>) -> Self {
        Self { fact: None, state: State::Missing, detail: detail.into() }
    }

    pub fn ok(fact: F, detail: impl Into<String>) -> Self {
        Self { fact: Some(fact), state: State::Ok, detail: detail.into() }
    }

    pub fn differs(fact: F, detail: impl Into<String>) -> Self {
        Self { fact: Some(fact), state: State::Differs, detail: detail.into() }
    }
}

/// What `apply` would do.
#[derive(Debug)]
pub enum Check<C> {
    /// Nothing, and the reason in a few words.
    Clean(String),
    /// One line per change, and what `apply` needs to do exactly that.
    Change { lines: Vec<String>, change: C },
}

/// The resource that limits how many such steps run concurrently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// It waits for the network: no limit.
    Waiting,
    /// It keeps a processor busy.
    Cpu,
    /// It runs a terraform process and its provider, about 600 MB of memory.
    Terraform,
}

/// One unit of work: read, repair, compare, apply, delete. Each function may be called again at any time, also after a call
/// that was interrupted half-way.
pub trait Step: Send + Sync + 'static {
    /// The facts of other steps that this one needs.
    type Input: Clone + Send + Sync + 'static;
    /// What other steps may take from this one. It contains no secret, because facts are logged.
    type Fact: Clone + fmt::Debug + Send + Sync + 'static;
    /// What `check` found and `apply` does.
    type Change: Send + 'static;

    fn id(&self) -> StepId;

    fn resource(&self) -> Resource {
        Resource::Waiting
    }

    /// Whether it changes what all regions share, and not only its own.
    fn is_shared(&self) -> bool {
        false
    }

    /// How long the step takes on AWS in an empty account; used to start the longest path first.
    fn estimate(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// What exists? Cheap, without a child process, and changes nothing.
    fn read(
        &self,
        cx: &Context,
        input: &Self::Input,
    ) -> impl Future<Output = Result<Seen<Self::Fact>>> + Send;

    /// Repairs what a dead run, or an earlier attempt of this one, left half-done: before `check` of a run that changes
    /// things, and before `destroy`. `left` are the step's open claims, each proved to be ours and without an owner that
    /// still acts. When it succeeds, they count as released. Nothing else may be touched: what is not claimed is
    /// somebody else's.
    fn repair(
        &self,
        _cx: &Context,
        _input: Option<&Self::Input>,
        _left: &[Claim],
    ) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// What would `apply` do? Changes nothing. Refuses by an error of class [`Class::Refused`].
    fn check(
        &self,
        cx: &Context,
        input: &Self::Input,
    ) -> impl Future<Output = Result<Check<Self::Change>>> + Send;

    /// Applies what `check` found, and waits until it is in effect.
    fn apply(
        &self,
        cx: &Context,
        input: &Self::Input,
        change: Self::Change,
    ) -> impl Future<Output = Result<()>> + Send;

    /// What would `destroy` delete that needs permission first? Changes nothing, and may keep a plan for the `destroy`
    /// of the same step. Refuses by an error of class [`Class::Refused`]. `None`: nothing is planned.
    ///
    /// All steps of a teardown are asked before the first of them is destroyed.
    fn plan_destroy(
        &self,
        _cx: &Context,
        _input: Option<&Self::Input>,
    ) -> impl Future<Output = Result<Option<String>>> + Send {
        async { Ok(None) }
    }

    /// Deletes what exists, and returns what it deleted (`None`: nothing existed). Without input, the steps that it
    /// depends on are deleted or never existed: find the resources by tag or by name.
    fn destroy(
        &self,
        cx: &Context,
        input: Option<&Self::Input>,
    ) -> impl Future<Output = Result<Option<String>>> + Send;
}
