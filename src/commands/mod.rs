//! The command line: one file a command, its arguments and its run.

mod completions;
mod config;
mod confirm;
mod down;
mod exit;
mod kubeconfig;
mod logs;
mod orphans;
mod phase;
mod plan;
mod rollout;
mod session;
mod signals;
mod status;
mod table;
mod token;
mod up;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory as _, Parser, Subcommand};

pub use exit::Exit;

use crate::{report::Output, step::RegionName};

/// Takes a payment API from an empty AWS account to running in several regions with one command.
#[derive(Debug, Parser)]
#[command(name = "paydeploy", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes:
  0  done, or nothing to do           4  preflight failed, or an earlier phase is missing
  1  a step failed                    5  another run holds the lock
  2  wrong use or configuration       6  refused: would destroy
  3  not as configured (status, plan) 7  unreachable, so unknown
                                    130  interrupted; run the same command again";

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Up),
    Down(down::Down),
    Status(status::Status),
    Plan(plan::Plan),
    Phase(phase::Phase),
    Logs(logs::Logs),
    Token(token::Token),
    Config(config::Config),
    Completions(completions::Completions),
}

/// What every command that looks at the world takes.
#[derive(Debug, Clone, Args)]
struct Common {
    /// The configuration; the closest `paydeploy.toml` here or above if not given
    #[arg(long, value_name = "FILE", env = "PAYDEPLOY_CONFIG")]
    config: Option<PathBuf>,
    /// Only this region; may be given again
    #[arg(long, value_name = "REGION")]
    region: Vec<RegionName>,
    /// How progress is shown; a tree on a terminal and lines elsewhere if not given
    #[arg(long, value_enum, value_name = "FORM")]
    output: Option<Output>,
}

/// Why a command ended without its work done.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    error: anyhow::Error,
    hint: Option<String>,
}

impl Failure {
    fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Usage, error: error.into(), hint: None }
    }

    fn new(exit: Exit, message: impl std::fmt::Display) -> Self {
        Self { exit, error: anyhow::anyhow!("{message}"), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { exit: Exit::Failed, error: error.into(), hint: None }
    }
}

/// Runs the command that the arguments name, and says how the process should end.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // clap's own exit codes: 0 for help, 2 for wrong use, as ours
            drop(error.print());
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    match dispatch(cli.command) {
        Ok(exit) => exit.into(),
        Err(Failure { exit, error, hint }) => {
            let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
            eprintln!("error: {}", chain.join("\n  because "));
            if let Some(hint) = hint {
                eprintln!("fix: {hint}");
            }
            exit.into()
        }
    }
}

fn dispatch(command: Command) -> Result<Exit, Failure> {
    match command {
        // these need no runtime, and answer at once
        Command::Config(command) => return command.run(),
        Command::Completions(command) => return Ok(command.run(&mut Cli::command())),
        Command::Logs(command) => return command.run(),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Up(command) => command.run().await,
            Command::Down(command) => command.run().await,
            Command::Status(command) => command.run().await,
            Command::Plan(command) => command.run().await,
            Command::Phase(command) => command.run().await,
            Command::Token(command) => command.run().await,
            Command::Config(_) | Command::Completions(_) | Command::Logs(_) => unreachable!("answered above"),
        }
    })
}
