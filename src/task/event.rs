//! The events of a run: the one stream that the terminal, the NDJSON output and the journal show.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Claim, Class, RunId, StepId};

/// What a run does with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Read what exists.
    Read,
    /// Find out what would change.
    Check,
    /// Bring it to the configured state.
    Up,
    /// Find out what a deletion would delete, and whether that is allowed.
    PlanDestroy,
    /// Delete it.
    Destroy,
}

/// How a step ended. Every step of a run gets exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Verdict {
    /// Created or updated.
    Changed {
        summary: String,
    },
    Deleted {
        summary: String,
    },
    /// Already in the configured state, or nothing to delete.
    Unchanged {
        summary: String,
    },
    /// It does not exist, or its inputs do not exist yet.
    Missing {
        summary: String,
    },
    /// It exists, but not in the configured state: behind, degraded or drifted.
    Differs {
        summary: String,
        changes: Vec<String>,
    },
    Failed {
        class: Class,
        chain: Vec<String>,
        /// What the operator should do.
        fix: Option<String>,
        attempts: u32,
    },
    /// Not run, because the named step did not succeed.
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

/// A step of a run that starts, and the steps that it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedStep {
    pub step: StepId,
    pub action: Action,
    pub needs: Vec<StepId>,
}

/// A region that is deployed and no longer configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Orphan {
    pub region: String,
    pub aws_region: String,
    /// How many resources its Terraform states list.
    pub resources: usize,
}

impl Orphan {
    /// A line for the operator.
    pub fn line(&self) -> String {
        let Self { region, aws_region, resources } = self;
        format!("{region}: {resources} resources in {aws_region}, no longer configured")
    }
}

/// What a teardown did not delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Remaining {
    pub region: String,
    /// Its ARN, or what it is and its name.
    pub resource: String,
    /// Why it remains.
    pub reason: String,
    /// The command that deletes it; none where it remains by design.
    pub fix: Option<String>,
}

impl Remaining {
    /// A line for the operator.
    pub fn line(&self) -> String {
        let Self { region, resource, reason, fix } = self;
        match fix {
            None => format!("kept: {region}  {resource}  ({reason})"),
            Some(fix) => format!("left: {region}  {resource}  fix: {fix}"),
        }
    }
}

impl Event {
    /// The step that it is about; `None` where it is about the run.
    pub fn step(&self) -> Option<&StepId> {
        match self {
            Self::StepStarted { step }
            | Self::StepProgress { step, .. }
            | Self::EffectStarted { step }
            | Self::EffectEnded { step }
            | Self::ChildStarted { step, .. }
            | Self::ChildEnded { step, .. }
            | Self::Claimed { step, .. }
            | Self::Released { step, .. }
            | Self::StepRetry { step, .. }
            | Self::StepWarned { step, .. }
            | Self::StepFinished { step, .. } => Some(step),
            Self::RunStarted { .. }
            | Self::OrphanFound { .. }
            | Self::InventoryTaken { .. }
            | Self::Interrupted { .. }
            | Self::LeaseLost { .. }
            | Self::RunFinished { .. } => None,
        }
    }
}

/// What happens in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// What the step is doing; `done` of `total` where it can be counted.
    StepProgress {
        step: StepId,
        text: String,
        done: Option<u32>,
        total: Option<u32>,
    },
    /// The step starts to change something. If the run dies before `effect-ended`, the change may be half done.
    EffectStarted {
        step: StepId,
    },
    EffectEnded {
        step: StepId,
    },
    /// The step started a child process. Its start time, in clock ticks since boot, distinguishes it from a later
    /// process with the same id.
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
    /// The step is about to hold or create something outside of this machine. If the run dies before `released`, the
    /// next run repairs it.
    Claimed {
        step: StepId,
        claim: Claim,
    },
    Released {
        step: StepId,
        claim: Claim,
    },
    /// An attempt failed; the next one starts after `delay`.
    StepRetry {
        step: StepId,
        /// The next attempt.
        attempt: u32,
        delay: Duration,
        /// How long retries continue if every attempt fails, this delay included.
        #[serde(default)]
        remaining: Duration,
        error: String,
    },
    /// Something that does not stop this run but may stop a later one; sent once.
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
    /// `plan` found a region that is deployed and no longer configured.
    OrphanFound {
        orphan: Orphan,
    },
    /// `down` has listed what it did not delete.
    InventoryTaken {
        remaining: Vec<Remaining>,
    },
    /// A signal arrived; `forced` if it was a second one of the same kind.
    Interrupted {
        forced: bool,
    },
    /// The run may no longer act, because it does not hold a region's lease any more: it stops softly.
    LeaseLost {
        why: String,
    },
    RunFinished {
        elapsed: Duration,
        /// The steps that failed.
        #[serde(default)]
        failed: Vec<StepId>,
        /// How many steps did not come to their end, because the run was stopped or something that they need is missing.
        #[serde(default)]
        undone: usize,
    },
}
