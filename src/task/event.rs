//! What happens in a run, in order: the one stream that the terminal, the NDJSON output and the journal show.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Class, RunId, StepId};

/// What a run does with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Look only.
    Read,
    /// Look at what would change.
    Check,
    /// Make it as configured.
    Up,
    /// Take it down.
    Destroy,
}

/// How a step ended. Every step of a run gets exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Verdict {
    /// Created or updated.
    Changed {
        summary: String,
    },
    Deleted {
        summary: String,
    },
    /// Nothing was to be done, or it was only read and is as configured.
    Unchanged {
        summary: String,
    },
    /// It is not there (read), or an earlier step must run before anything can be said.
    Missing {
        summary: String,
    },
    /// It is there, but not as configured: behind, degraded or drifted.
    Differs {
        summary: String,
        changes: Vec<String>,
    },
    Failed {
        class: Class,
        chain: Vec<String>,
        hint: Option<String>,
        attempts: u32,
    },
    /// Not run, because this step did not succeed.
    Skipped {
        because: StepId,
    },
    Cancelled,
}

impl Verdict {
    /// Whether steps that need this one may run.
    pub fn succeeded(&self) -> bool {
        matches!(
            self,
            Self::Changed { .. } | Self::Deleted { .. } | Self::Unchanged { .. } | Self::Differs { .. }
        )
    }
}

/// A step as a run's plan names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    pub step: StepId,
    pub action: Action,
    pub needs: Vec<StepId>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    RunStarted {
        run: RunId,
        command: String,
        headline: String,
        steps: Vec<PlannedStep>,
    },
    StepStarted {
        step: StepId,
    },
    /// What is under way now; `done` of `total` where it can be counted.
    StepProgress {
        step: StepId,
        text: String,
        done: Option<u32>,
        total: Option<u32>,
    },
    /// An effect begins: what is done from here on may be half done if the run dies.
    EffectStarted {
        step: StepId,
    },
    EffectEnded {
        step: StepId,
    },
    /// A child process runs for the step (process id and start time in clock ticks since boot, so that it
    /// can be told from a later process of the same id).
    ChildStarted {
        step: StepId,
        pid: u32,
        start: u64,
        command: String,
    },
    ChildEnded {
        step: StepId,
        pid: u32,
    },
    StepRetry {
        step: StepId,
        attempt: u32,
        of: u32,
        delay: Duration,
        error: String,
    },
    /// What does not stop this run and may stop what comes after it; told once.
    StepWarned {
        step: StepId,
        warning: String,
        fix: String,
    },
    StepFinished {
        step: StepId,
        verdict: Verdict,
        elapsed: Duration,
    },
    Interrupted {
        forced: bool,
    },
    RunFinished {
        elapsed: Duration,
    },
}
