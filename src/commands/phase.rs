use std::collections::BTreeMap;

use clap::Args;

use super::{AllowDowngrade, AllowReplace, Common, Exit, Failure, LockWait, kubeconfig::Merge, rollout};
use crate::{
    engine::Facts,
    plan,
    report::{self, Output},
    run::{Session, exit},
    step::{self, Action, Phase as Name, StepId, Verdict},
};

/// Run single phases, for CI: the phases that they depend on are only read
///
/// Needs no local state: any phase can run in a fresh clone once the earlier phases have run elsewhere. Steps
/// whose earlier phase is missing are not run, and the exit code is 4; other regions continue.
#[derive(Debug, Args)]
pub struct Phase {
    #[command(flatten)]
    common: Common,
    /// Phases to run, in any order
    #[arg(required = true, value_name = "NAME", value_enum)]
    names: Vec<step::Phase>,
    #[command(flatten)]
    wait: LockWait,
    #[command(flatten)]
    allow: AllowReplace,
    #[command(flatten)]
    downgrade: AllowDowngrade,
    #[command(flatten)]
    merge: Merge,
}

/// The phases for which preflight checks the account, the tools and the commit.
fn checked(names: &[Name]) -> &[Name] {
    // Preflight alone is a question about the whole deployment; beside other phases it is only their gate.
    if names.iter().all(|name| *name == Name::Preflight) { &Name::ALL } else { names }
}

impl Phase {
    pub async fn run(self) -> Result<Exit, Failure> {
        let command =
            format!("phase {}", self.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        let allowed = self.allow.allow_replace.clone();
        let phases = checked(&self.names);
        let command = self.downgrade.after(&command);
        let mut session = self
            .common
            .open(command, phases, allowed, self.wait.time, self.downgrade.allow_downgrade)
            .await?;
        // These change nothing but this machine.
        if self.names.iter().all(|name| matches!(name, Name::Preflight | Name::Kubeconfig)) {
            let _lock = session.lock().await?;
            return self.run_in(&session).await;
        }
        session.locked(async |session| self.run_in(session).await).await
    }

    async fn run_in(&self, session: &Session) -> Result<Exit, Failure> {
        let plan = plan::build(session.config(), &rollout::shape(session).await?);
        let named = |step: &StepId| self.names.contains(&step.phase) && session.is_chosen(step);
        let wanted: Vec<StepId> = plan.graph.ids().filter(|step| named(step)).cloned().collect();
        let with_ancestors = plan.graph.with_ancestors(wanted);
        let action = |step: &StepId| {
            // The account and the tools are checked before any effect, whatever the phase.
            if named(step) || step.phase == Name::Preflight { Action::Up } else { Action::Read }
        };
        let actions: BTreeMap<StepId, Action> =
            with_ancestors.into_iter().map(|step| (step.clone(), action(&step))).collect();
        let orders = session.orders(actions);
        let started = std::time::Instant::now();
        let outcome = session.execute(&plan.graph, &orders, Facts::default()).await?;
        eprint!("{}", session.failures(&orders, &outcome));
        for (step, verdict) in &outcome.verdicts {
            if matches!(verdict, Verdict::Missing { .. }) && orders.actions[step] == Action::Read {
                let earlier = format!("phase {}", step.phase);
                let earlier = match &step.region {
                    // A step of the hub that a spoke needs.
                    Some(region) if !session.is_chosen(step) => {
                        session.command_line_in(&earlier, std::slice::from_ref(region))
                    }
                    _ => session.command_line(&earlier),
                };
                eprintln!("missing: {step}\nfix: run `{earlier}` first, or `{}`", session.command_line("up"));
            }
        }
        if session.output != Output::Json {
            println!("{}", report::summary(&outcome.verdicts, started.elapsed()));
        }
        let exit = exit::of_changes(outcome.verdicts.iter());
        if exit == Exit::Ok {
            self.merge.run(&session.world.state)?;
        }
        Ok(exit)
    }
}
