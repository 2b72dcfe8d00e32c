use std::collections::BTreeMap;

use clap::Args;

use super::{Common, Exit, Failure, exit, kubeconfig::Merge, rollout, session::Session};
use crate::{
    engine::Facts,
    plan,
    report::{self, Output},
    step::{self, Action, Phase as Name, StepId, Verdict},
};

/// Run single phases, for CI: what they build on is looked at, not made
///
/// Needs no local state: a fresh clone can run any phase after the earlier ones have run elsewhere.
#[derive(Debug, Args)]
pub struct Phase {
    #[command(flatten)]
    common: Common,
    /// The phases, in any order
    #[arg(required = true, value_name = "NAME", value_enum)]
    names: Vec<step::Phase>,
    /// Let Terraform replace or delete what lives at this address; may be given again
    #[arg(long, value_name = "ADDRESS")]
    allow_replace: Vec<String>,
    #[command(flatten)]
    merge: Merge,
}

impl Phase {
    pub async fn run(self) -> Result<Exit, Failure> {
        let session = Session::open(&self.common, &self.names, self.allow_replace).await?;
        let _lock = session.lock().await?;
        let plan = plan::build(session.config(), &rollout::shape(&session).await?);
        let named = |step: &StepId| self.names.contains(&step.phase) && session.is_chosen(step);
        let wanted: Vec<StepId> = plan.graph.ids().filter(|step| named(step)).cloned().collect();
        let with_ancestors = plan.graph.with_ancestors(wanted);
        let action = |step: &StepId| {
            // the account and the tools are checked before any effect, whatever the phase
            if named(step) || step.phase == Name::Preflight { Action::Up } else { Action::Read }
        };
        let actions: BTreeMap<StepId, Action> =
            with_ancestors.into_iter().map(|step| (step.clone(), action(&step))).collect();
        let orders = session.orders(actions);
        let command =
            format!("phase {}", self.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        let began = std::time::Instant::now();
        let outcome = session.run(&command, &plan.graph, &orders, Facts::default()).await?;
        eprint!("{}", session.failures(&command, &outcome));
        for (step, verdict) in &outcome.verdicts {
            if matches!(verdict, Verdict::Missing { .. }) && orders.actions[step] == Action::Read {
                eprintln!(
                    "missing: {step}\nfix: run `paydeploy phase {}` first, or `paydeploy up`",
                    step.phase
                );
            }
        }
        if session.output != Output::Json {
            println!("{}", report::summary(&outcome.verdicts, began.elapsed()));
        }
        let exit = exit::of_changes(outcome.verdicts.iter());
        if exit == Exit::Ok {
            self.merge.run(&session.world.state)?;
        }
        Ok(exit)
    }
}
