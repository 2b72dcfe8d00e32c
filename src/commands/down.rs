use std::cmp::Reverse;

use clap::Args;

use super::{Common, Exit, Failure, confirm, exit, session::Session};
use crate::{
    config::{Profile, Role},
    engine::{Graph, Outcome},
    plan::{self, Shape},
    report::{self, Output},
    step::{Action, Phase, StepId, Verdict},
};

/// Take everything down, in the order in which nothing is left behind
///
/// Names what goes and what stays, and asks for the project's name. Run again after a failure it goes on;
/// where nothing is left it says so.
#[derive(Debug, Args)]
pub struct Down {
    #[command(flatten)]
    common: Common,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Down {
    pub async fn run(self) -> Result<Exit, Failure> {
        let session = Session::open(&self.common, &Phase::ALL, Vec::new()).await?;
        let _lock = session.lock().await?;
        let plan = plan::build(session.config(), &Shape::default());
        self.refuse_a_hub_with_spokes(&session)?;

        let seen = session.look(&plan.graph).await?;
        if seen.verdicts.values().any(|verdict| matches!(verdict, Verdict::Failed { .. })) {
            eprint!("{}", session.look_failures("down", &seen));
            let message = "what is there could not be read, so nothing was taken down";
            return Err(Failure::new(exit::of_look(seen.verdicts.iter()), message));
        }
        let goes = goes(&session, &plan.graph, &seen);
        for (step, summary) in &goes {
            eprintln!("  goes: {step}   {summary}");
        }
        if goes.is_empty() {
            eprintln!("  goes: nothing that a look can see");
        }
        eprintln!("  stays: {}", stays(session.config().profile));
        if !self.yes {
            confirm::by_name(&session.config().project).await?;
        }

        let going = plan.graph.ids().filter(|step| is_taken_down(&session, step));
        let orders = session.orders(going.map(|step| (step.clone(), Action::Destroy)).collect());
        let began = std::time::Instant::now();
        let outcome = session.run("down", &plan.graph, &orders, seen.facts).await?;
        eprint!("{}", session.failures("down", &outcome));
        if session.output != Output::Json {
            println!("{}", report::summary(&outcome.verdicts, began.elapsed()));
            println!("stays: {}", stays(session.config().profile));
        }
        Ok(exit::of_changes(outcome.verdicts.iter()))
    }

    fn refuse_a_hub_with_spokes(&self, session: &Session) -> Result<(), Failure> {
        if self.common.region.is_empty() {
            return Ok(());
        }
        let config = super::session::configuration(&self.common)?;
        let hub = &config.hub().name;
        let left: Vec<String> = config
            .regions
            .values()
            .filter(|region| region.role == Role::Spoke && !session.chosen.contains(&region.name))
            .map(|region| region.name.to_string())
            .collect();
        if session.chosen.contains(hub) && !left.is_empty() {
            let message = format!("`{hub}` is the hub of `{}`: they go first", left.join("`, `"));
            return Err(
                Failure::new(Exit::Refused, message).hint(format!("paydeploy down --region {}", left[0]))
            );
        }
        Ok(())
    }
}

/// What is there and is taken down, in an order that the teardown keeps to: what needs something goes before it.
fn goes<'a>(session: &Session, graph: &Graph, seen: &'a Outcome) -> Vec<(&'a StepId, &'a str)> {
    let mut goes: Vec<(&StepId, &str)> = seen
        .verdicts
        .iter()
        .filter(|(step, _)| is_taken_down(session, step) && !is_state_bucket(step))
        .filter_map(|(step, verdict)| match verdict {
            Verdict::Unchanged { summary } | Verdict::Differs { summary, .. } => {
                Some((step, summary.as_str()))
            }
            _ => None,
        })
        .collect();
    goes.sort_by_key(|(step, _)| Reverse(graph.with_ancestors([(*step).clone()]).len()));
    goes
}

/// What belongs to no region goes with the hub: until then other regions need it.
fn is_taken_down(session: &Session, step: &StepId) -> bool {
    let region = step.region.as_ref().unwrap_or(&session.config().hub().name);
    step.phase != Phase::Preflight && session.chosen.contains(region)
}

/// A region's state bucket is among what stays.
fn is_state_bucket(step: &StepId) -> bool {
    step.phase == Phase::Terraform && step.part.as_deref() == Some("state")
}

fn stays(profile: Profile) -> &'static str {
    match profile {
        Profile::Staging => {
            "the state bucket of each region; KMS keys until their deletion window has passed"
        }
        Profile::Production => {
            "the state bucket of each region; KMS keys and secrets until their windows have passed; final snapshots"
        }
    }
}
