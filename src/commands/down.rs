use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

use clap::Args;

use super::{Common, Exit, Failure, LockWait, Regions, confirm};
use crate::{
    aws::inventory::{self, Deleted},
    config::{Config, Profile, Region, Role, stack},
    engine::{Graph, NOTHING_TO_DELETE, Orders, Outcome},
    phase::terraform,
    plan::{self, Shape},
    report::{self, Output},
    run::{Request, Session, configuration, exit},
    step::{Action, Event, Phase, RegionName, StepId, Teardown, Verdict},
    task::Remaining,
    tool::quoted,
};

/// AWS lists some resources for a while after their deletion.
const LISTED_DEADLINE: Duration = Duration::from_mins(1);
/// Between two inventories.
const LISTED_INTERVAL: Duration = Duration::from_secs(5);

/// Delete the deployment, in the reverse order of its creation
///
/// Lists what will be deleted, then asks for the project's name; at the end it lists what remains and why. In the
/// profile `production`, protected resources are deleted only if each kind is named with `--allow-delete`; otherwise
/// nothing is deleted and the exit code is 6. After a failure or an interruption, run the same command again: it
/// deletes what remains.
#[derive(Debug, Args)]
pub struct Down {
    #[command(flatten)]
    common: Common,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    /// Allow the deletion of protected resources: of a kind (`cluster`, `database`, `key`, `logs`, `registry`,
    /// `secret`, `storage`, `trail`, `zone`) or at an address (repeatable)
    #[arg(long, value_name = "KIND|ADDRESS")]
    allow_delete: Vec<String>,
    /// Remove finalizers that block a deletion, once what they guard in AWS is deleted
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    wait: LockWait,
}

impl Down {
    /// The teardown of one region, for another command.
    pub fn of_region(common: &Common, region: RegionName, yes: bool, wait: LockWait) -> Self {
        let regions = Regions { region: vec![region] };
        let common = Common { regions, ..common.clone() };
        Self { common, yes, allow_delete: Vec::new(), force: false, wait }
    }

    pub async fn run(self) -> Result<Exit, Failure> {
        let mut session = self.open().await?;
        session.locked(async |session| self.run_in(session).await).await
    }

    async fn run_in(&self, session: &mut Session) -> Result<Exit, Failure> {
        let plan = plan::build(session.config(), &Shape::default());
        self.refuse_hub_with_spokes(session)?;

        let existing = session.probe(&plan.graph).await?;
        if exit::preflight_failed(existing.verdicts.iter()) {
            eprint!("{}", session.probe_failures(&existing));
            let message = "failed to identify the account, so nothing was deleted";
            return Err(Failure::new(exit::of_read(existing.verdicts.iter()), message));
        }
        let planned = judge(session, &plan.graph, &existing).await?;
        // The plans and the teardown are two runs: only the second one changes anything.
        session.start_next().await?;
        announce(session, &plan.graph, &existing, &planned);
        if !self.yes {
            confirm::by_name(session, &session.config().project, "delete all of this", "nothing was deleted")
                .await?;
        }

        // Steps of which nothing was found run as well: `destroy` finds parts of an unfinished creation, and what could
        // not be read, by name and tag.
        let steps = plan.graph.ids().filter(|step| is_deleted(session, step));
        let orders = session.orders(steps.map(|step| (step.clone(), Action::Destroy)).collect());
        let started = Instant::now();
        let outcome = session.execute(&plan.graph, &orders, existing.facts).await?;
        eprint!("{}", session.failures(&orders, &outcome));
        if session.output != Output::Json {
            println!("{}", report::summary(&outcome.verdicts, started.elapsed()));
        }
        let exit = exit::of_changes(outcome.verdicts.iter());
        if exit != Exit::Ok {
            return Ok(exit);
        }
        session.forget_versions().await;
        let remaining = remaining(session).await?;
        show(session, &remaining)?;
        Ok(if remaining.iter().any(|one| one.fix.is_some()) { Exit::Failed } else { Exit::Ok })
    }

    async fn open(&self) -> Result<Session, Failure> {
        let allowed =
            self.allow_delete.iter().map(|name| format!(" --allow-delete {}", quoted(name.as_ref())));
        let force = if self.force { " --force" } else { "" };
        Session::open(Request {
            command: format!("down{}{force}", allowed.collect::<String>()),
            config: self.common.file.config.as_deref(),
            regions: &self.common.regions.region,
            output: Output::for_this_process(self.common.progress.output),
            phases: &Phase::ALL,
            allow_replace: Vec::new(),
            teardown: Some(Teardown { allow_delete: self.allow_delete.clone(), force: self.force }),
            finds_removed: true,
            lock_wait: self.wait.time,
            allow_downgrade: false,
        })
        .await
    }

    fn refuse_hub_with_spokes(&self, session: &Session) -> Result<(), Failure> {
        if self.common.regions.region.is_empty() {
            return Ok(());
        }
        // Loaded again, because the session has only the chosen regions and the hub.
        let config = configuration(self.common.file.config.as_deref())?;
        let hub = &config.hub().name;
        // A region that is no longer configured is not among them; the hub's own steps refuse while it has Applications.
        let spokes: Vec<RegionName> = config
            .regions
            .values()
            .filter(|region| region.role == Role::Spoke && !session.chosen().contains(&region.name))
            .map(|region| region.name.clone())
            .collect();
        if session.chosen().contains(hub) && !spokes.is_empty() {
            let names: Vec<&str> = spokes.iter().map(RegionName::as_str).collect();
            let message = format!("`{hub}` is the hub of `{}`: delete its spokes first", names.join("`, `"));
            return Err(
                Failure::new(Exit::Refused, message).fix(session.command_line_in(&session.command, &spokes))
            );
        }
        Ok(())
    }
}

/// Plans the deletion of every stack before anything is deleted.
///
/// # Errors
/// When a plan would delete what is protected, or cannot be made.
async fn judge(session: &Session, graph: &Graph, existing: &Outcome) -> Result<Outcome, Failure> {
    let stacks = graph.ids().filter(|step| is_deleted(session, step) && is_stack(step));
    let orders: Orders = session.orders(stacks.map(|step| (step.clone(), Action::PlanDestroy)).collect());
    let planned = session.execute(graph, &orders, existing.facts.clone()).await?;
    let exit = exit::of_changes(planned.verdicts.iter());
    if exit == Exit::Ok {
        return Ok(planned);
    }
    eprint!("{}", session.failures(&orders, &planned));
    Err(match exit {
        Exit::Interrupted => Failure::new(exit, "interrupted: nothing was deleted"),
        Exit::Refused => Failure::new(exit, "protected resources would be deleted, so nothing was deleted")
            .fix("keep them, or run the same command with the flags above"),
        _ => Failure::new(exit, "failed to plan the deletion, so nothing was deleted"),
    })
}

/// Prints what will be deleted: dependents first, as in the teardown itself.
fn announce(session: &Session, graph: &Graph, existing: &Outcome, planned: &Outcome) {
    let mut lines: Vec<(&StepId, String)> = Vec::new();
    for (step, verdict) in existing.verdicts.iter().filter(|(step, _)| is_deleted(session, step)) {
        let summary = match (verdict, planned.verdicts.get(step)) {
            (_, Some(Verdict::Unchanged { summary })) if summary == NOTHING_TO_DELETE => continue,
            (_, Some(Verdict::Unchanged { summary })) => summary.clone(),
            (Verdict::Unchanged { summary } | Verdict::Differs { summary, .. }, _)
                // State buckets are kept, so they are not listed as deletions.
                if !terraform::is_state_bucket(step) =>
            {
                summary.clone()
            }
            (Verdict::Failed { chain, .. }, _) => {
                let why = chain.last().map(String::as_str).unwrap_or_default();
                format!("what is found by name and tag, because it cannot be read: {why}")
            }
            _ => continue,
        };
        lines.push((step, summary));
    }
    // A step has more ancestors than any step that it depends on.
    lines.sort_by_cached_key(|(step, _)| Reverse(graph.with_ancestors([(*step).clone()]).len()));
    for (step, summary) in &lines {
        eprintln!("  delete: {step}   {summary}");
    }
    if lines.is_empty() {
        eprintln!("  delete: nothing found");
    }
    eprintln!("  keep: {}", kept(session.config().profile));
}

/// What remains of the deleted regions. What AWS may list by mistake is looked for again for a while.
async fn remaining(session: &Session) -> Result<Vec<Remaining>, Failure> {
    let look = async {
        let end = Instant::now() + LISTED_DEADLINE;
        loop {
            let found = inventory(session).await?;
            if found.iter().all(|one| one.fix.is_none()) || Instant::now() >= end {
                return Ok(found);
            }
            tokio::time::sleep(LISTED_INTERVAL).await;
        }
    };
    let found = session.or_interrupted(look).await.map_err(|_| {
        // The teardown is complete, so its own message would be untrue.
        Failure::new(Exit::Interrupted, "interrupted: the inventory was not taken")
    })?;
    found.map_err(|error: crate::step::Error| {
        let message = format!("everything was deleted, but listing what remains failed: {error}");
        let failure = Failure::new(Exit::Failed, message);
        failure.fix(error.hint.unwrap_or_else(|| "run the same command again".to_owned()))
    })
}

async fn inventory(session: &Session) -> crate::step::Result<Vec<Remaining>> {
    let config = session.config();
    let mut all = Vec::new();
    for region in config.regions.values().filter(|region| session.chosen().contains(&region.name)) {
        let deleted = Deleted {
            aws_region: &region.aws_region,
            project: &config.project,
            region: region.name.as_str(),
            name: &config.name_in(&region.name),
            domain: &region.domain,
            state_bucket: &config.state_bucket(region),
            keys: &kept_keys(config, region),
        };
        all.extend(inventory::remaining(&session.world.aws, deleted).await?);
    }
    Ok(all)
}

/// The keys of a region that no teardown deletes, by their aliases, and why.
fn kept_keys(config: &Config, region: &Region) -> Vec<(String, &'static str)> {
    let state = (config.state_key_alias(&region.name), "the history of the Terraform state is read with it");
    let data = (config.data_key_alias(&region.name), "`production` deletes no key");
    match config.profile {
        Profile::Staging => vec![state],
        Profile::Production => vec![state, data],
    }
}

fn kept(profile: Profile) -> &'static str {
    match profile {
        Profile::Staging => {
            "the state bucket of each region, and its key; final snapshots and the keys that they need; other keys and \
             secrets until their deletion windows end"
        }
        Profile::Production => {
            "the state bucket of each region, and its key; the data key of each region; final snapshots; secrets until \
             their deletion windows end"
        }
    }
}

fn show(session: &Session, remaining: &[Remaining]) -> Result<(), Failure> {
    if session.output == Output::Json {
        println!("{}", report::json_line(Event::InventoryTaken { remaining: remaining.to_vec() })?);
        return Ok(());
    }
    for one in remaining {
        println!("{}", one.line());
    }
    if remaining.is_empty() {
        println!("nothing remains");
    }
    Ok(())
}

/// A step without a region is deleted with the hub: until then other regions need it.
fn is_deleted(session: &Session, step: &StepId) -> bool {
    let region = step.region.as_ref().unwrap_or(&session.config().hub().name);
    step.phase != Phase::Preflight && session.chosen().contains(region)
}

fn is_stack(step: &StepId) -> bool {
    step.phase == Phase::Terraform && step.part.as_deref().is_some_and(|part| stack::ALL.contains(&part))
}
