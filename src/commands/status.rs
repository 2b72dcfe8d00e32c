use std::time::Duration;

use clap::Args;

use super::{Exit, Failure, Format, Reading, table};
use crate::{
    engine::Facts,
    plan::{self, Shape},
    report::Output,
    run::{Request, Session, exit},
    step::{Action, Phase},
};

/// Compare the deployment with the configuration
///
/// Reads AWS and the clusters, usually within seconds. Changes nothing, starts no other program, and needs read
/// access only. `--drift` also runs `terraform plan` and compares by dry runs, which takes minutes and needs the
/// rights of `up`. Exits with 3 if anything is not in the
/// configured state, and with 7 if AWS or a cluster does not answer.
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    reading: Reading,
    /// Also detect manual changes
    #[arg(long)]
    drift: bool,
}

impl Status {
    pub async fn run(self) -> Result<Exit, Failure> {
        let session = Session::open(Request {
            command: if self.drift { "status --drift" } else { "status" }.to_owned(),
            config: self.reading.file.config.as_deref(),
            regions: &self.reading.regions.region,
            // The progress of `--drift`, on standard error: standard output is for the result.
            output: Output::for_this_process((self.reading.output == Format::Json).then_some(Output::Lines)),
            phases: &Phase::ALL,
            allow_replace: Vec::new(),
            teardown: None,
            finds_removed: false,
            lock_wait: Duration::ZERO,
            allow_downgrade: false,
        })
        .await?;
        let plan = plan::build(session.config(), &Shape::default());
        let reading = async {
            if !self.drift {
                let outcome = session.probe(&plan.graph).await?;
                let failures = session.probe_failures(&outcome);
                return Ok((outcome, failures));
            }
            let _lock = session.lock().await?;
            let mut actions = session.actions(&plan.graph, Action::Check);
            // This step's check compares a file in this clone, which is not part of the deployment.
            for (_, action) in actions.iter_mut().filter(|(step, _)| step.phase == Phase::Kubeconfig) {
                *action = Action::Read;
            }
            let orders = session.orders(actions);
            let outcome = session.execute(&plan.graph, &orders, Facts::default()).await?;
            let failures = session.failures(&orders, &outcome);
            Ok::<_, Failure>((outcome, failures))
        };
        let ((outcome, failures), holders) =
            tokio::try_join!(reading, async { Ok(session.holders().await) })?;
        eprint!("{failures}");
        let chosen: Vec<_> = outcome.verdicts.iter().filter(|(step, _)| session.is_chosen(step)).collect();
        // The search would fail for the reason that preflight has already reported.
        let orphans = if exit::preflight_failed(chosen.iter().copied()) {
            Vec::new()
        } else {
            session.orphans().await?
        };
        let exit = match exit::of_read_chosen(outcome.verdicts.iter(), |step| session.is_chosen(step)) {
            Exit::Ok if !orphans.is_empty() => Exit::Differs,
            exit => exit,
        };
        match self.reading.output {
            Format::Json => println!("{}", table::json(&chosen, &orphans, &holders)?),
            Format::Table => {
                print!("{}", table::text(&chosen, session.chosen(), &orphans));
                print!("{}", table::at_work(&holders));
            }
        }
        if exit == Exit::Differs {
            eprintln!("not in the configured state (exit 3)\nfix: {}", session.command_line("up"));
        }
        Ok(exit)
    }
}
