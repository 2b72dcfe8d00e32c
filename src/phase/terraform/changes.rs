//! A plan in Terraform's JSON (`terraform show -json PLAN`): what it would change, and why.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::message::Importing;
use crate::step::{Error, ErrorExt, Result};

/// The supported major version of the plan's JSON format.
const FORMAT: &str = "1.";

/// Terraform's reason for replacing a resource whose creation failed.
const TAINTED: &str = "replace_because_tainted";

#[derive(Deserialize)]
pub(super) struct Plan {
    format_version: String,
    #[serde(default)]
    pub resource_changes: Vec<ResourceChange>,
    #[serde(default)]
    pub output_changes: BTreeMap<String, PlanChange>,
    /// They may contain secrets.
    #[serde(default)]
    pub variables: BTreeMap<String, Variable>,
}

#[derive(Deserialize)]
pub(super) struct Variable {
    #[serde(default)]
    pub value: Value,
}

/// A change of one resource in a plan.
#[derive(Deserialize)]
pub(super) struct ResourceChange {
    pub address: String,
    previous_address: Option<String>,
    mode: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub change: PlanChange,
    action_reason: Option<String>,
    deposed: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct PlanChange {
    pub actions: Vec<Action>,
    /// The resource's attributes as they are. They may contain secrets.
    #[serde(default)]
    pub before: Value,
    /// Those that it would have, as far as they are known. They may contain secrets.
    #[serde(default)]
    pub after: Value,
    #[serde(default)]
    replace_paths: Vec<Vec<Value>>,
    pub importing: Option<Importing>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Action {
    NoOp,
    Create,
    Read,
    Update,
    Delete,
    Forget,
    #[serde(other)]
    Unknown,
}

/// The changes of managed resources in a plan's JSON.
pub(super) fn changes(plan: &str) -> Result<Vec<ResourceChange>> {
    let mut plan = Plan::parse(plan)?;
    plan.resource_changes.retain(|one| one.mode == "managed");
    Ok(plan.resource_changes)
}

impl Plan {
    pub fn parse(text: &str) -> Result<Self> {
        let plan: Self = serde_json::from_str(text).doing("read terraform's plan")?;
        if plan.format_version.starts_with(FORMAT) {
            return Ok(plan);
        }
        let version = plan.format_version;
        Err(Error::permanent(format!("terraform's plan has format {version}, not {FORMAT}x"))
            .with_hint("use a newer `paydeploy`, or an older terraform"))
    }

    pub fn managed(&self) -> impl Iterator<Item = &ResourceChange> {
        self.resource_changes.iter().filter(|one| one.mode == "managed")
    }
}

impl PlanChange {
    pub fn sign(&self) -> &'static str {
        match self.actions[..] {
            [Action::Create] => "+",
            [Action::Delete] => "-",
            [Action::Delete, Action::Create] => "-/+",
            [Action::Create, Action::Delete] => "+/-",
            [Action::Forget] => "forget",
            _ => "~",
        }
    }
}

impl ResourceChange {
    /// The change in one line; `None` if there is no change.
    pub fn line(&self) -> Option<String> {
        let Self { address, change, .. } = self;
        match (&change.actions[..], &self.previous_address, &change.importing) {
            ([Action::NoOp], Some(old), _) => Some(format!("moved {old} -> {address}")),
            ([Action::NoOp], None, Some(importing)) => Some(format!("adopt {address}{importing}")),
            ([Action::NoOp | Action::Read], ..) => None,
            ([Action::Update], _, Some(importing)) => {
                Some(format!("adopt {address}{importing}, and update it"))
            }
            _ => {
                let why = if self.change.actions.len() > 1 {
                    format!(" ({})", self.reason())
                } else {
                    String::new()
                };
                Some(format!("{} {address}{why}", change.sign()))
            }
        }
    }

    pub fn operations(&self) -> u32 {
        let is_counted =
            |action: &&Action| matches!(action, Action::Create | Action::Update | Action::Delete);
        u32::try_from(self.change.actions.iter().filter(is_counted).count()).unwrap_or(u32::MAX)
    }

    pub fn is_tainted(&self) -> bool {
        self.action_reason.as_deref() == Some(TAINTED)
    }

    pub fn reason(&self) -> String {
        if self.deposed.is_some() {
            return "its deletion in an earlier replacement failed".to_owned();
        }
        match self.action_reason.as_deref() {
            Some("replace_because_cannot_update") => {
                let paths: Vec<String> =
                    self.change.replace_paths.iter().map(|path| format!("`{}`", dotted(path))).collect();
                format!("{} cannot be changed in place", paths.join(", "))
            }
            Some(TAINTED) => "its creation failed or was interrupted (tainted)".to_owned(),
            Some("replace_by_request") => "its replacement was requested".to_owned(),
            Some("replace_by_triggers") => "a resource that triggers its replacement changes".to_owned(),
            Some("delete_because_no_resource_config" | "delete_because_no_module") => {
                "it is no longer in the configuration".to_owned()
            }
            Some(
                "delete_because_wrong_repetition" | "delete_because_count_index" | "delete_because_each_key",
            ) => "its index or key is no longer in the configuration".to_owned(),
            Some("delete_because_no_move_target") => "its `moved` target does not exist".to_owned(),
            Some(other) => other.replace('_', " "),
            None => "the configuration requires it".to_owned(),
        }
    }
}

fn dotted(path: &[Value]) -> String {
    let pieces: Vec<String> =
        path.iter().map(|piece| piece.as_str().map_or_else(|| piece.to_string(), str::to_owned)).collect();
    pieces.join(".")
}
