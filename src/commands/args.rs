//! Flags that several commands share. A command flattens only the groups that it honours.

use std::path::PathBuf;

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
    ) -> Result<Session, Failure> {
        Session::open(Request {
            command: command.into(),
            config: self.file.config.as_deref(),
            regions: &self.regions.region,
            output: Output::for_this_process(self.progress.output),
            phases,
            allow_replace,
            teardown: None,
        })
        .await
    }
}
