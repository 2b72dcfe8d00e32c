//! Verdicts of a look as a table, phases down and regions across; and as JSON.

use std::fmt::Write as _;

use comfy_table::{Cell, Table, presets};
use serde_json::json;

use super::orphans::Orphan;
use crate::step::{Phase, RegionName, StepId, Verdict};

type Seen<'a> = [(&'a StepId, &'a Verdict)];

/// How bad a verdict is, and the word for it.
fn rank(verdict: &Verdict) -> (u8, &'static str) {
    match verdict {
        Verdict::Changed { .. } | Verdict::Deleted { .. } | Verdict::Unchanged { .. } => (0, "ok"),
        Verdict::Missing { .. } => (2, "missing"),
        Verdict::Differs { .. } => (3, "differs"),
        Verdict::Skipped { .. } => (1, "waiting"),
        Verdict::Cancelled => (4, "interrupted"),
        Verdict::Failed { .. } => (5, "unknown"),
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

/// One cell: the worst of its steps, and what is worth saying.
fn cell(seen: &Seen<'_>, phase: Phase, region: Option<&RegionName>) -> String {
    let steps: Vec<_> =
        seen.iter().filter(|(step, _)| step.phase == phase && step.region.as_ref() == region).collect();
    let Some(worst) = steps.iter().map(|(_, verdict)| rank(verdict)).max() else { return String::new() };
    let mut out = worst.1.to_owned();
    // where all is well a line for the phase is enough; otherwise a line for each that is not
    if worst.0 == 0 && steps.len() > 1 {
        let _ = write!(out, "  {} of {}", steps.len(), steps.len());
        return out;
    }
    // what all of them wait for is said once
    if worst.0 == 1
        && let [(_, Verdict::Skipped { because }), rest @ ..] = steps.as_slice()
        && rest
            .iter()
            .all(|(_, verdict)| matches!(verdict, Verdict::Skipped { because: other } if other == because))
    {
        let _ = write!(out, "  for {because}");
        return out;
    }
    for (step, verdict) in steps.iter().filter(|(_, verdict)| rank(verdict).0 > 0 || steps.len() == 1) {
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

/// The same with reasons and names, as one JSON object.
pub fn json(seen: &Seen<'_>, orphans: &[Orphan]) -> serde_json::Result<String> {
    let steps: Vec<_> = seen
        .iter()
        .map(|(step, verdict)| {
            json!({
                "step": step.to_string(),
                "phase": step.phase,
                "region": step.region,
                "part": step.part,
                "state": rank(verdict).1,
                "verdict": verdict,
            })
        })
        .collect();
    serde_json::to_string_pretty(&json!({ "format": 1, "steps": steps, "orphans": orphans }))
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
