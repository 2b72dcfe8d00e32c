//! The result of `status`: a table with phases as rows and regions as columns, or a JSON document.

use std::{collections::BTreeMap, fmt::Write as _};

use comfy_table::{Cell, Table, presets};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    lease::{Lease, named},
    report::SCHEMA,
    run::Holders,
    state::Life,
    step::{Phase, RegionName, StepId, Verdict},
    task::Orphan,
};

type Seen<'a> = [(&'a StepId, &'a Verdict)];

/// How a step compares with the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum State {
    // In the order in which a cell of several steps shows them: the last is the worst.
    Ok,
    /// A step that it depends on is not ok.
    Waiting,
    Missing,
    Differs,
    Cancelled,
    /// Reading failed.
    Unknown,
}

impl State {
    fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Changed { .. } | Verdict::Deleted { .. } | Verdict::Unchanged { .. } => Self::Ok,
            Verdict::Skipped { .. } => Self::Waiting,
            Verdict::Missing { .. } => Self::Missing,
            Verdict::Differs { .. } => Self::Differs,
            Verdict::Cancelled => Self::Cancelled,
            Verdict::Failed { .. } => Self::Unknown,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Waiting => "waiting",
            Self::Missing => "missing",
            Self::Differs => "differs",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }
}

fn detail(step: &StepId, verdict: &Verdict) -> String {
    let words = match verdict {
        Verdict::Changed { summary }
        | Verdict::Deleted { summary }
        | Verdict::Unchanged { summary }
        | Verdict::Missing { summary } => summary.clone(),
        Verdict::Differs { summary, changes } => match changes.as_slice() {
            [] => summary.clone(),
            [only] => only.clone(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        },
        Verdict::Failed { chain, .. } => chain.last().cloned().unwrap_or_default(),
        Verdict::Skipped { because } => format!("for {because}"),
        Verdict::Cancelled => String::new(),
    };
    match &step.part {
        Some(part) => format!("{part}: {words}"),
        None => words,
    }
}

/// One cell: the worst state of its steps, and the reason.
fn cell(seen: &Seen<'_>, phase: Phase, region: Option<&RegionName>) -> String {
    let steps: Vec<_> =
        seen.iter().filter(|(step, _)| step.phase == phase && step.region.as_ref() == region).collect();
    let Some(worst) = steps.iter().map(|(_, verdict)| State::of(verdict)).max() else {
        return String::new();
    };
    let mut out = worst.as_str().to_owned();
    // If every step is ok, their number is enough; otherwise each step that is not ok gets a line.
    if worst == State::Ok && steps.len() > 1 {
        let _ = write!(out, "  {} of {}", steps.len(), steps.len());
        return out;
    }
    // If all steps wait for the same step, it is named once.
    if worst == State::Waiting
        && let [(_, Verdict::Skipped { because }), rest @ ..] = steps.as_slice()
        && rest
            .iter()
            .all(|(_, verdict)| matches!(verdict, Verdict::Skipped { because: other } if other == because))
    {
        let _ = write!(out, "  for {because}");
        return out;
    }
    let shown = |verdict: &Verdict| State::of(verdict) != State::Ok || steps.len() == 1;
    for (step, verdict) in steps.iter().filter(|(_, verdict)| shown(verdict)) {
        let _ = write!(out, "{}{}", if steps.len() == 1 { "  " } else { "\n" }, detail(step, verdict));
    }
    out
}

/// The table.
pub fn text(seen: &Seen<'_>, regions: &[RegionName], orphans: &[Orphan]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let general = seen.iter().any(|(step, _)| step.region.is_none() && step.phase != Phase::Preflight);
    let mut header = vec![Cell::new("phase")];
    header.extend(regions.iter().map(Cell::new));
    if general {
        header.push(Cell::new("all regions"));
    }
    table.set_header(header);
    for phase in Phase::ALL {
        let mut row = vec![Cell::new(phase)];
        row.extend(regions.iter().map(|region| Cell::new(cell(seen, phase, Some(region)))));
        if general {
            row.push(Cell::new(cell(seen, phase, None)));
        }
        table.add_row(row);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    lines
        .into_iter()
        .chain(orphans.iter().map(|orphan| format!(" orphan      {}\n", orphan.line())))
        .collect()
}

/// A line for each region in which a run is at work.
pub fn at_work(holders: &Holders) -> String {
    let mut out = String::new();
    for (region, held) in holders {
        if let Ok(Some(lease)) = held {
            let _ = writeln!(out, " at work     {region}: {}{}", named(&lease.holder), note(lease));
        }
    }
    out
}

fn note(lease: &Lease) -> &'static str {
    if lease.life() == Life::Dead { "; it has ended, and the next run takes over" } else { "" }
}

/// A line for each region: who holds it.
pub fn holders_text(holders: &Holders) -> String {
    let mut out = String::new();
    for (region, held) in holders {
        let held = match held {
            Ok(None) => "free".to_owned(),
            Ok(Some(lease)) => format!("held by {}{}", named(&lease.holder), note(lease)),
            Err(_) => "unknown".to_owned(),
        };
        let _ = writeln!(out, "{region:<8} {held}");
    }
    out
}

/// The run that holds a region.
#[derive(Debug, Serialize, JsonSchema)]
struct Holder {
    run: String,
    command: String,
    /// Who started it: a job's address, or a user.
    by: String,
    host: String,
    pid: u32,
    since: jiff::Timestamp,
}

impl Holder {
    /// By region; `None` where it is free. Regions whose lease cannot be read are left out.
    fn all(holders: &Holders) -> BTreeMap<String, Option<Self>> {
        let read = holders.iter().filter_map(|(region, held)| Some((region, held.as_ref().ok()?)));
        read.map(|(region, held)| (region.to_string(), held.as_ref().map(Self::of))).collect()
    }

    fn of(Lease { holder, .. }: &Lease) -> Self {
        Self {
            run: holder.run.to_string(),
            command: holder.command.clone(),
            by: holder.by.clone(),
            host: holder.machine.host.clone(),
            pid: holder.pid,
            since: holder.at,
        }
    }
}

/// The document of `lock show --output json`.
pub fn holders_json(holders: &Holders) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Document {
        schema: u32,
        holders: BTreeMap<String, Option<Holder>>,
    }
    serde_json::to_string_pretty(&Document { schema: SCHEMA, holders: Holder::all(holders) })
}

/// The document of `status --output json`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatusDocument {
    /// The version of this document's schema.
    schema: u32,
    steps: Vec<StepStatus>,
    /// Regions that are deployed and no longer configured.
    orphans: Vec<Orphan>,
    /// The run that is at work in each region, or null. A region whose lease cannot be read is left out.
    holders: BTreeMap<String, Option<Holder>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct StepStatus {
    /// The step's name, for instance `terraform/spain/cluster`.
    step: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    phase: Phase,
    region: Option<RegionName>,
    part: Option<String>,
    state: State,
    verdict: Verdict,
}

/// The result as a JSON document, with all reasons.
pub fn json(seen: &Seen<'_>, orphans: &[Orphan], holders: &Holders) -> serde_json::Result<String> {
    let steps = seen.iter().map(|(step, verdict)| StepStatus {
        step: step.to_string(),
        service: step.service.clone(),
        phase: step.phase,
        region: step.region.clone(),
        part: step.part.as_deref().map(str::to_owned),
        state: State::of(verdict),
        verdict: (*verdict).clone(),
    });
    let document = StatusDocument {
        schema: SCHEMA,
        steps: steps.collect(),
        orphans: orphans.to_vec(),
        holders: Holder::all(holders),
    };
    serde_json::to_string_pretty(&document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_shows_the_worst_of_its_steps_and_why() {
        let region: RegionName = "spain".parse().unwrap();
        let cluster = StepId::part(Phase::Terraform, &region, "cluster");
        let database = StepId::part(Phase::Terraform, &region, "database");
        let ok = Verdict::Unchanged { summary: "31 resources".into() };
        let drifted =
            Verdict::Differs { summary: String::new(), changes: vec!["~ aws_db_instance.this".into()] };
        let seen = [(&cluster, &ok), (&database, &drifted)];
        insta::assert_snapshot!(text(&seen, std::slice::from_ref(&region), &[]), @r"
         phase       spain
         terraform   differs
                     database: ~ aws_db_instance.this
         kubeconfig
         docker
         helm-deps
         secrets
         argocd
         apps
        ");
    }
}
