use clap::Args;

use super::{
    Common, Exit, Failure, exit,
    kubeconfig::Merge,
    rollout,
    session::{self, Session},
};
use crate::{
    engine::{Facts, Outcome},
    plan,
    report::{self, Output},
    step::{Action, Phase},
};

/// Make every region as configured, at the commit that is checked out
///
/// Looks at what is there and does what is missing or different, all regions at once. Interrupted or failed,
/// the same command goes on.
#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    common: Common,
    /// After the first failure start nothing new, in any region
    #[arg(long)]
    fail_fast: bool,
    /// Let Terraform replace or delete what lives at this address; may be given again
    #[arg(long, value_name = "ADDRESS")]
    allow_replace: Vec<String>,
    #[command(flatten)]
    merge: Merge,
}

impl Up {
    pub async fn run(self) -> Result<Exit, Failure> {
        let session = Session::open(&self.common, &Phase::ALL, self.allow_replace).await?;
        let _lock = session.lock().await?;
        session::forget_old_runs(&session.store);
        let plan = plan::build(session.config(), &rollout::shape(&session).await?);
        let mut orders = session.orders(session.actions(&plan.graph, Action::Up));
        orders.fail_fast = self.fail_fast;
        let began = std::time::Instant::now();
        let outcome = session.run("up", &plan.graph, &orders, Facts::default()).await?;
        eprint!("{}", session.failures("up", &outcome));
        if session.output != Output::Json {
            println!("{}", report::summary(&outcome.verdicts, began.elapsed()));
            print!("{}", regions(&session, &plan, &outcome));
            println!("next: paydeploy status · paydeploy logs {}", session.run);
        }
        let exit = exit::of_changes(outcome.verdicts.iter());
        if exit == Exit::Ok {
            self.merge.run(&session.world.state)?;
        }
        Ok(exit)
    }
}

/// A line a region: where it answers, and what it runs.
fn regions(session: &Session, plan: &plan::Plan, outcome: &Outcome) -> String {
    let mut out = String::new();
    for (name, handle) in plan.releases.iter().filter(|(name, _)| session.chosen.contains(name)) {
        let line = match outcome.facts.get(handle) {
            Some(release) => {
                format!("{}   {}/{} pods   {}", release.url, release.ready_pods, release.pods, release.digest)
            }
            None => "not released by this run".to_owned(),
        };
        out.push_str(&format!("  {name:<8} {line}\n"));
    }
    out
}
