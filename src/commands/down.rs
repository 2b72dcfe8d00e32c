use std::cmp::Reverse;

use clap::Args;

use super::{Common, Exit, Failure, confirm};
use crate::{
    config::{Profile, Role},
    engine::{Graph, Outcome},
    plan::{self, Shape},
    report::{self, Output},
    run::{Session, configuration, exit},
    step::{Action, Phase, RegionName, StepId, Verdict},
};

/// Delete the deployment, in the reverse order of its creation
///
/// Lists what will be deleted and what will be kept, then asks for the project's name. After a failure or an
/// interruption, run the same command again: it deletes what remains.
#[derive(Debug, Args)]
pub struct Down {
    #[command(flatten)]
    common: Common,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

impl Down {
    pub async fn run(self) -> Result<Exit, Failure> {
        let session = self.common.open("down", &Phase::ALL, Vec::new()).await?;
        let _lock = session.lock().await?;
        let plan = plan::build(session.config(), &Shape::default());
        self.refuse_hub_with_spokes(&session)?;

        let existing = session.probe(&plan.graph).await?;
        if existing.verdicts.values().any(|verdict| matches!(verdict, Verdict::Failed { .. })) {
            eprint!("{}", session.probe_failures(&existing));
            let message = "failed to read the existing resources, so nothing was deleted";
            return Err(Failure::new(exit::of_read(existing.verdicts.iter()), message));
        }
        let deletions = deletions(&session, &plan.graph, &existing);
        for (step, summary) in &deletions {
            eprintln!("  delete: {step}   {summary}");
        }
        if deletions.is_empty() {
            eprintln!("  delete: nothing found");
        }
        eprintln!("  keep: {}", kept(session.config().profile));
        if !self.yes {
            confirm::by_name(&session, &session.config().project).await?;
        }

        // Steps that a probe found nothing of run as well: `destroy` also finds parts of an unfinished creation.
        let steps = plan.graph.ids().filter(|step| is_deleted(&session, step));
        let orders = session.orders(steps.map(|step| (step.clone(), Action::Destroy)).collect());
        let started = std::time::Instant::now();
        let outcome = session.execute(&plan.graph, &orders, existing.facts).await?;
        eprint!("{}", session.failures(&orders, &outcome));
        if session.output != Output::Json {
            println!("{}", report::summary(&outcome.verdicts, started.elapsed()));
            println!("kept: {}", kept(session.config().profile));
        }
        Ok(exit::of_changes(outcome.verdicts.iter()))
    }

    fn refuse_hub_with_spokes(&self, session: &Session) -> Result<(), Failure> {
        if self.common.regions.region.is_empty() {
            return Ok(());
        }
        // Loaded again, because the session has only the chosen regions and the hub.
        let config = configuration(self.common.file.config.as_deref())?;
        let hub = &config.hub().name;
        let spokes: Vec<RegionName> = config
            .regions
            .values()
            .filter(|region| region.role == Role::Spoke && !session.chosen.contains(&region.name))
            .map(|region| region.name.clone())
            .collect();
        if session.chosen.contains(hub) && !spokes.is_empty() {
            let names: Vec<&str> = spokes.iter().map(RegionName::as_str).collect();
            let message = format!("`{hub}` is the hub of `{}`: delete its spokes first", names.join("`, `"));
            return Err(
                Failure::new(Exit::Refused, message).fix(session.command_line_in(&session.command, &spokes))
            );
        }
        Ok(())
    }
}

/// The steps whose resources exist and will be deleted, dependents first as in the teardown itself.
fn deletions<'a>(session: &Session, graph: &Graph, existing: &'a Outcome) -> Vec<(&'a StepId, &'a str)> {
    let mut deletions: Vec<(&StepId, &str)> = existing
        .verdicts
        .iter()
        .filter(|(step, _)| is_deleted(session, step) && !is_state_bucket(step))
        .filter_map(|(step, verdict)| match verdict {
            Verdict::Unchanged { summary } | Verdict::Differs { summary, .. } => {
                Some((step, summary.as_str()))
            }
            _ => None,
        })
        .collect();
    // A step has more ancestors than any step that it depends on.
    deletions.sort_by_key(|(step, _)| Reverse(graph.with_ancestors([(*step).clone()]).len()));
    deletions
}

/// A step without a region is deleted with the hub: until then other regions need it.
fn is_deleted(session: &Session, step: &StepId) -> bool {
    let region = step.region.as_ref().unwrap_or(&session.config().hub().name);
    step.phase != Phase::Preflight && session.chosen.contains(region)
}

/// State buckets are kept, so they are not listed as deletions.
fn is_state_bucket(step: &StepId) -> bool {
    step.phase == Phase::Terraform && step.part.as_deref() == Some("state")
}

fn kept(profile: Profile) -> &'static str {
    match profile {
        Profile::Staging => {
            "the state bucket of each region and its key; the data key while snapshots or backups need it, otherwise until its deletion window ends"
        }
        Profile::Production => {
            "the state bucket of each region and its key; the data key; secrets until their deletion windows end; final snapshots"
        }
    }
}
