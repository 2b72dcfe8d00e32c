//! Flags that several commands share. A command flattens only the groups that it honours.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::Failure;
use crate::{
    report::Output,
    run::{Request, Session},
    step::{Phase, RegionName},
};

#[derive(Debug, Clone, Args)]
pub struct ConfigFile {
    /// Configuration file (default: the closest `paydeploy.toml`, upwards from the working directory)
    #[arg(long, value_name = "FILE", env = "PAYDEPLOY_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
}

impl ConfigFile {
    /// A session for a command that reads or removes what runs keep in the state buckets, also of regions that are no longer
    /// configured.
    pub async fn open(&self, command: &str, regions: &[RegionName]) -> Result<Session, Failure> {
        Session::open(Request {
            command: command.to_owned(),
            config: self.config.as_deref(),
            regions,
            output: Output::for_this_process(None),
            phases: &[],
            allow_replace: Vec::new(),
            teardown: None,
            finds_removed: true,
            lock_wait: Duration::ZERO,
            allow_downgrade: false,
        })
        .await
    }
}

#[derive(Debug, Clone, Args)]
pub struct Regions {
    /// Limit the command to this region (repeatable)
    #[arg(long, value_name = "REGION")]
    pub region: Vec<RegionName>,
}

#[derive(Debug, Clone, Args)]
pub struct Progress {
    /// Progress format (default: live on a terminal, lines otherwise)
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub output: Option<Output>,
}

#[derive(Debug, Clone, Args)]
pub struct AllowReplace {
    /// Allow Terraform to replace or delete the resource at this address (repeatable)
    #[arg(long, value_name = "ADDRESS")]
    pub allow_replace: Vec<String>,
}

#[derive(Debug, Clone, Copy, Args)]
pub struct AllowDowngrade {
    /// Allow a commit, add-ons or a program that are older than what is deployed
    #[arg(long)]
    pub allow_downgrade: bool,
}

impl AllowDowngrade {
    /// The command with this flag, for a continuation.
    pub fn after(self, command: &str) -> String {
        format!("{command}{}", if self.allow_downgrade { " --allow-downgrade" } else { "" })
    }
}

#[derive(Debug, Clone, Copy, Args)]
pub struct LockWait {
    /// Wait this long for another run that holds the folder or a region, such as `30m` (default: do not wait)
    #[arg(long = "lock-wait", value_name = "DURATION", value_parser = duration, default_value = "0s", hide_default_value = true)]
    pub time: Duration,
}

/// A duration such as `90s`, `30m` or `1h 30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| EXPECTED.to_owned())?;
    parsed.try_into().map_err(|_| EXPECTED.to_owned())
}

const EXPECTED: &str = "expected a duration such as `90s`, `30m` or `1h 30m`";

/// How a result is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// One JSON document on standard output
    Json,
}

/// The flags of every command that reads what exists and prints it.
#[derive(Debug, Clone, Args)]
pub struct Reading {
    #[command(flatten)]
    pub file: ConfigFile,
    #[command(flatten)]
    pub regions: Regions,
    /// Result format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub output: Format,
}

/// The flags of every command that runs steps.
#[derive(Debug, Clone, Args)]
pub struct Common {
    #[command(flatten)]
    pub file: ConfigFile,
    #[command(flatten)]
    pub regions: Regions,
    #[command(flatten)]
    pub progress: Progress,
}

impl Common {
    pub async fn open(
        &self,
        command: impl Into<String>,
        phases: &[Phase],
        allow_replace: Vec<String>,
        lock_wait: Duration,
        allow_downgrade: bool,
    ) -> Result<Session, Failure> {
        Session::open(Request {
            command: command.into(),
            config: self.file.config.as_deref(),
            regions: &self.regions.region,
            output: Output::for_this_process(self.progress.output),
            phases,
            allow_replace,
            teardown: None,
            finds_removed: false,
            lock_wait,
            allow_downgrade,
        })
        .await
    }
}
