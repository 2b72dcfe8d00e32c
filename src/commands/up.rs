use clap::Args;

use super::{
    AllowDowngrade, AllowReplace, Common, Exit, Failure, LockWait, down::Down, kubeconfig::Merge, rollout,
};
use crate::{
    engine::{Facts, Outcome},
    plan,
    report::{self, Output},
    run::{Session, exit},
    step::{Action, Phase, RegionName},
};

/// Folders of older runs are deleted: a run's logs are small, but an hourly `up` in CI would fill a disk in time.
const KEPT_RUNS: usize = 100;

/// Bring every region to the configured state, at the checked-out commit
///
/// Checks every step and applies what is missing or different, in all regions in parallel. After a failure or an
/// interruption, run the same command again: it continues where the last run stopped.
#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    common: Common,
    /// After the first failure, start no further step in any region
    #[arg(long)]
    fail_fast: bool,
    /// Then delete the regions that are deployed and no longer configured, after asking for the project's name
    #[arg(long)]
    prune: bool,
    /// With --prune: do not ask for confirmation
    #[arg(long, requires = "prune")]
    yes: bool,
    #[command(flatten)]
    wait: LockWait,
    #[command(flatten)]
    allow: AllowReplace,
    #[command(flatten)]
    downgrade: AllowDowngrade,
    #[command(flatten)]
    merge: Merge,
}

impl Up {
    pub async fn run(self) -> Result<Exit, Failure> {
        let allowed = self.allow.allow_replace.clone();
        let mut session = self
            .common
            .open(
                self.downgrade.after("up"),
                &Phase::ALL,
                allowed,
                self.wait.time,
                self.downgrade.allow_downgrade,
            )
            .await?;
        let exit = session.locked(async |session| self.run_in(session).await).await?;
        if exit != Exit::Ok || !self.prune {
            return Ok(exit);
        }
        let orphans = session.orphans().await?;
        // Each teardown opens the configuration and takes the lock and the leases itself.
        drop(session);
        for orphan in orphans {
            eprintln!("deleting region {}", orphan.line());
            let region: RegionName = orphan.region.parse()?;
            let exit = Down::of_region(&self.common, region, self.yes, self.wait).run().await?;
            if exit != Exit::Ok {
                return Ok(exit);
            }
        }
        Ok(Exit::Ok)
    }

    async fn run_in(&self, session: &Session) -> Result<Exit, Failure> {
        session.store.prune(KEPT_RUNS);
        let plan = plan::build(session.config(), &rollout::shape(session).await?);
        let mut orders = session.orders(session.actions(&plan.graph, Action::Up));
        orders.fail_fast = self.fail_fast;
        let started = std::time::Instant::now();
        let outcome = session.execute(&plan.graph, &orders, Facts::default()).await?;
        eprint!("{}", session.failures(&orders, &outcome));
        if session.output != Output::Json {
            println!("{}", report::summary(&outcome.verdicts, started.elapsed()));
            print!("{}", regions(session, &plan, &outcome));
            println!("next: paydeploy status · paydeploy logs {}", session.run);
        }
        let exit = exit::of_changes(outcome.verdicts.iter());
        if exit == Exit::Ok {
            self.merge.run(&session.world.state)?;
        }
        Ok(exit)
    }
}

/// One line per region: its address and its release.
fn regions(session: &Session, plan: &plan::Plan, outcome: &Outcome) -> String {
    let mut out = String::new();
    for (name, handle) in plan.releases.iter().filter(|(name, _)| session.chosen().contains(name)) {
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
