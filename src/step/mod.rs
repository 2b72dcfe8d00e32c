//! What a step is.

mod context;
#[cfg(test)]
pub mod testing;

use std::{fmt, future::Future, time::Duration};

pub use context::{Context, World};

pub use crate::task::{
    Action, BadRegionName, Cancel, Class, Error, ErrorExt, Event, Events, Message, Phase, PlannedStep, Poll,
    RegionName, Result, RunId, StepId, Task, Verdict,
};

/// How a thing is, compared with what is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Missing,
    /// There and, as far as a look can tell, as wanted.
    Ok,
    /// There, but not as wanted: behind, unhealthy, half-made.
    Differs,
}

/// What a look found: the fact for other steps, and a few words for the user.
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
    /// Nothing; why, in a few words.
    Clean(String),
    /// This, a line each; and what `apply` needs to do just that.
    Change { lines: Vec<String>, change: C },
}

/// What a step needs while it runs, apart from its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// It waits for the network: costs nothing.
    Waiting,
    /// It keeps a processor busy.
    Cpu,
    /// It runs a terraform process and its provider, about 600 MB of memory.
    Terraform,
}

/// One unit of work: look, compare, make, take down. Each function may be called again at any time.
pub trait Step: Send + Sync + 'static {
    /// The facts of other steps that this one needs.
    type Input: Clone + Send + Sync + 'static;
    /// What other steps may take from this one. Holds no secret.
    type Fact: Clone + fmt::Debug + Send + Sync + 'static;
    /// What `check` found and `apply` does.
    type Change: Send + 'static;

    fn id(&self) -> StepId;

    fn resource(&self) -> Resource {
        Resource::Waiting
    }

    /// How long the step takes on AWS when all is to be made, to start the longest path first.
    fn estimate(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// What is there? Cheap, without a child process, and changes nothing.
    fn read(
        &self,
        cx: &Context,
        input: &Self::Input,
    ) -> impl Future<Output = Result<Seen<Self::Fact>>> + Send;

    /// What would `apply` do? Changes nothing. Refuses by an error of class [`Class::Refused`].
    fn check(
        &self,
        cx: &Context,
        input: &Self::Input,
    ) -> impl Future<Output = Result<Check<Self::Change>>> + Send;

    /// Does what `check` found, and waits until it is so.
    fn apply(
        &self,
        cx: &Context,
        input: &Self::Input,
        change: Self::Change,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Takes down what is there, and says what it did (`None`: there was nothing). Without input, what the
    /// step depends on is gone or was never made: look by other means, by tag or by name.
    fn destroy(
        &self,
        cx: &Context,
        input: Option<&Self::Input>,
    ) -> impl Future<Output = Result<Option<String>>> + Send;
}
