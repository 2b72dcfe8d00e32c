//! An opened configuration: the world that it describes and the regions that a command is limited to.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use tokio::sync::Mutex;

use super::{Exit, Failure, Signals, hold::Hold, others::Earlier, removed};
use crate::{
    aws::Aws,
    config::{self, Config, LoadError, Role},
    kubernetes::Reached,
    report::Output,
    state::Store,
    step::{Phase, RegionName, RunId, StepId, Teardown, World},
    tool::{Tools, quoted},
};

/// A command's flags that select the configuration and the regions.
pub struct Request<'a> {
    /// The command with its own arguments and without the shared flags, for instance `phase docker`.
    pub command: String,
    /// None: the closest `paydeploy.toml`, upwards from the working directory.
    pub config: Option<&'a Path>,
    /// Empty: all regions.
    pub regions: &'a [RegionName],
    pub output: Output,
    /// What the command is for: preflight checks only what these phases need.
    pub phases: &'a [Phase],
    /// Addresses that Terraform may replace or delete.
    pub allow_replace: Vec<String>,
    /// What the operator allows a teardown; `None` for any other command.
    pub teardown: Option<Teardown>,
    /// Whether the chosen regions may be ones that are no longer configured.
    pub finds_removed: bool,
    /// How long the command waits for other runs that hold the folder or a region.
    pub lock_wait: Duration,
    /// Whether it may deploy what is older than what is deployed.
    pub allow_downgrade: bool,
}

/// An opened configuration.
pub struct Session {
    pub world: Arc<World>,
    pub store: Store,
    pub output: Output,
    /// All regions of the file with their AWS regions, whatever the command is limited to.
    pub(super) configured: BTreeMap<RegionName, String>,
    pub run: RunId,
    /// The command with its own arguments and without the shared flags, for instance `phase docker`.
    pub command: String,
    /// One stream for the whole command. Once tokio has a handler, a signal no longer ends the process, so one that
    /// arrives while nothing listens has to wait here for the next listener.
    pub(super) signals: Mutex<Signals>,
    /// What earlier runs of this folder left; known once the lock is taken.
    pub(super) earlier: std::sync::Mutex<Earlier>,
    pub(super) lock_wait: Duration,
    /// What the command holds in its regions, once it has the lock and may change something.
    pub(super) hold: OnceLock<Arc<Hold<Arc<World>>>>,
    /// `--config`, as given.
    config_file: Option<PathBuf>,
    /// Each `--region`, as given.
    given: Vec<RegionName>,
}

/// Loads a configuration: the given file, or the closest one.
///
/// # Errors
/// When there is none, or it has problems.
pub fn configuration(file: Option<&Path>) -> Result<Config, Failure> {
    let load = || {
        let file = match file {
            Some(file) => file.to_owned(),
            None => {
                config::find(&std::env::current_dir().map_err(|error| LoadError::Read(".".into(), error))?)?
            }
        };
        config::load(&file)
    };
    load().map_err(Failure::usage)
}

impl Session {
    /// Loads the configuration and finds tools and credentials.
    ///
    /// # Errors
    /// When the configuration has problems, a region does not exist, or `.paydeploy` cannot be created.
    pub async fn open(request: Request<'_>) -> Result<Self, Failure> {
        let Request {
            command,
            config: config_file,
            regions,
            output,
            phases,
            allow_replace,
            teardown,
            finds_removed,
            lock_wait,
            allow_downgrade,
        } = request;
        let mut config = configuration(config_file)?;
        let store = Store::open(&config.root).map_err(|error| {
            Failure::from(
                anyhow::Error::new(error).context("failed to create `.paydeploy` beside `paydeploy.toml`"),
            )
            .fix("make the folder writable and check that its disk has free space")
        })?;
        let aws = Aws::from_env(&config.hub().aws_region).await;
        for region in regions {
            if config.regions.contains_key(region) {
                continue;
            }
            let removed =
                if finds_removed { removed::find(&aws, &config, region, store.path()).await? } else { None };
            if let Some(removed) = removed {
                config.rollout.push(removed.name.clone());
                config.regions.insert(removed.name.clone(), removed);
            } else {
                let known: Vec<&str> = config.regions.keys().map(RegionName::as_str).collect();
                let message =
                    format!("no region `{region}` in the configuration; it has `{}`", known.join("`, `"));
                return Err(Failure::new(Exit::Usage, message)
                    .fix(format!("use one of these, or add `[regions.{region}]` to paydeploy.toml")));
            }
        }
        let mut chosen: Vec<RegionName> =
            if regions.is_empty() { config.regions.keys().cloned().collect() } else { regions.to_vec() };
        chosen.sort();
        chosen.dedup();
        let configured = config.regions.values();
        let configured = configured.map(|region| (region.name.clone(), region.aws_region.clone())).collect();
        // The hub is kept, because its cluster stores which release each region runs.
        config.regions.retain(|name, region| chosen.contains(name) || region.role == Role::Hub);
        config.rollout.retain(|name| config.regions.contains_key(name));
        let tools = Tools::on_path(&std::env::var_os("PATH").unwrap_or_default());
        let state = store.path().to_owned();
        let phases = phases.iter().copied().collect();
        let reached = Reached::default();
        let world = World {
            config,
            aws,
            tools,
            state,
            phases,
            chosen,
            allow_replace,
            allow_downgrade,
            teardown,
            reached,
        };
        Ok(Self {
            world: Arc::new(world),
            store,
            output,
            configured,
            run: RunId::new(),
            command,
            signals: Mutex::new(Signals::listen()?),
            earlier: std::sync::Mutex::default(),
            lock_wait,
            hold: OnceLock::new(),
            config_file: config_file.map(Path::to_owned),
            given: regions.to_vec(),
        })
    }

    /// Waits for `work`, which changes nothing, and drops it at a signal.
    ///
    /// # Errors
    /// When interrupted.
    pub async fn or_interrupted<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        or_interrupted(&self.signals, work).await
    }

    /// What earlier runs of this folder left.
    pub(super) fn earlier(&self) -> Earlier {
        self.earlier.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The regions that the command is limited to, in order; all that are configured if it is not.
    pub fn chosen(&self) -> &[RegionName] {
        &self.world.chosen
    }

    pub fn config(&self) -> &Config {
        &self.world.config
    }

    /// Whether a step belongs to a region that the command is limited to, or to no region.
    pub fn is_chosen(&self, step: &StepId) -> bool {
        step.region.as_ref().is_none_or(|region| self.chosen().contains(region))
    }

    /// The run's folder.
    pub fn logs(&self) -> PathBuf {
        self.store.run(&self.run)
    }

    /// The command line of `command` with the flags of this one, quoted for a shell. A continuation without them
    /// would reach further: `down --region mexico` without its flag deletes every region.
    pub fn command_line(&self, command: &str) -> String {
        self.command_line_in(command, &self.given)
    }

    /// As `command_line`, for these regions instead of the given ones.
    pub fn command_line_in(&self, command: &str, regions: &[RegionName]) -> String {
        command_line(command, self.config_file.as_deref(), regions, &self.world.allow_replace)
    }

    /// The first line of a run: command, project, regions.
    pub(super) fn headline(&self) -> String {
        let config = self.config();
        let chosen = config.regions.values().filter(|region| self.chosen().contains(&region.name));
        let regions: Vec<String> = chosen
            .map(|region| match region.role {
                Role::Hub => format!("{} (hub)", region.name),
                Role::Spoke => region.name.to_string(),
            })
            .collect();
        format!("paydeploy {} · {} · {}", self.command, config.project, regions.join(", "))
    }
}

async fn or_interrupted<T>(signals: &Mutex<Signals>, work: impl Future<Output = T>) -> Result<T, Failure> {
    let mut signals = signals.lock().await;
    tokio::select! {
        // A signal that arrived before must not lose against work that is ready.
        biased;
        _ = signals.next() => Err(Failure::new(Exit::Interrupted, "interrupted: nothing was started")),
        done = work => Ok(done),
    }
}

/// Without `--yes`: a deletion that continues is confirmed again.
fn command_line(
    command: &str,
    config: Option<&Path>,
    regions: &[RegionName],
    allow_replace: &[String],
) -> String {
    let config = config.map(|file| ("--config", file.as_os_str()));
    let regions = regions.iter().map(|region| ("--region", OsStr::new(region.as_str())));
    let addresses = allow_replace.iter().map(|address| ("--allow-replace", OsStr::new(address)));
    let flags = config.into_iter().chain(regions).chain(addresses);
    flags.fold(format!("paydeploy {command}"), |line, (flag, value)| {
        format!("{line} {flag} {}", quoted(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_that_arrives_while_nothing_listens_interrupts_the_next_listener() {
        let signals = Mutex::new(Signals::listen().unwrap());
        or_interrupted(&signals, async {}).await.unwrap();
        let pid = std::process::id().to_string();
        std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap();
        let interrupted = or_interrupted(&signals, std::future::pending::<()>()).await;
        assert_eq!(interrupted.unwrap_err().exit, Exit::Interrupted);
    }

    #[test]
    fn a_command_line_keeps_every_flag_that_limits_or_allows_something() {
        let regions: [RegionName; 2] = ["mexico", "spain"].map(|name| name.parse().unwrap());
        let line = command_line(
            "phase terraform",
            Some(Path::new("my config.toml")),
            &regions,
            &["module.db[\"a\"]".to_owned()],
        );
        assert_eq!(
            line,
            "paydeploy phase terraform --config 'my config.toml' --region mexico --region spain \
             --allow-replace 'module.db[\"a\"]'"
        );
        assert_eq!(command_line("up", None, &[], &[]), "paydeploy up");
    }
}
