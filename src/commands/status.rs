use clap::Args;

use super::{Common, Exit, Failure, exit, session::Session, table};
use crate::{
    engine::Facts,
    plan::{self, Shape},
    report::Output,
    step::{Action, Phase},
};

/// Look at what is there, live
///
/// Cheap look-ups only; `--drift` also plans with Terraform and compares every add-on, and takes as long.
/// Ends with 3 where something is not as configured, with 7 where something does not answer.
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    common: Common,
    /// Also look for changes made by hand
    #[arg(long)]
    drift: bool,
}

impl Status {
    pub async fn run(self) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.common, &Phase::ALL, Vec::new()).await?;
        // one document, not a line an event
        let output = session.output;
        if output == Output::Json {
            session.output = Output::Lines;
        }
        let plan = plan::build(session.config(), &Shape::default());
        let (outcome, failures) = if self.drift {
            let _lock = session.lock().await?;
            let mut actions = session.actions(&plan.graph, Action::Check);
            // what it compares is a file of this clone, not of the account
            for (_, action) in actions.iter_mut().filter(|(step, _)| step.phase == Phase::Kubeconfig) {
                *action = Action::Read;
            }
            let orders = session.orders(actions);
            let outcome = session.run("status --drift", &plan.graph, &orders, Facts::default()).await?;
            let failures = session.failures("status --drift", &outcome);
            (outcome, failures)
        } else {
            let outcome = session.look(&plan.graph).await?;
            let failures = session.look_failures("status", &outcome);
            (outcome, failures)
        };
        eprint!("{failures}");
        let chosen: Vec<_> = outcome.verdicts.iter().filter(|(step, _)| session.is_chosen(step)).collect();
        // an account that cannot be looked at has been told of already
        let orphans = if exit::preflight_failed(chosen.iter().copied()) {
            Vec::new()
        } else {
            session.orphans().await?
        };
        let exit = match exit::of_look(chosen.iter().copied()) {
            Exit::Ok if !orphans.is_empty() => Exit::Differs,
            exit => exit,
        };
        match output {
            Output::Json => println!("{}", table::json(&chosen, &orphans)?),
            _ => print!("{}", table::text(&chosen, &session.chosen, &orphans)),
        }
        if exit == Exit::Differs {
            eprintln!("not as configured (exit 3); paydeploy up makes it so");
        }
        Ok(exit)
    }
}
