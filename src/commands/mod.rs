//! The command line: one file per command, with its flags and what it does.

mod args;
mod completions;
mod config;
mod confirm;
mod down;
mod kubeconfig;
mod lock;
mod logs;
mod phase;
mod plan;
pub mod reference;
mod rollout;
mod runs;
mod status;
mod table;
mod token;
mod up;

use std::{ffi::OsString, process::ExitCode};

use args::{AllowDowngrade, AllowReplace, Common, ConfigFile, Format, LockWait, Reading, Regions};
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::{
    aws, console,
    run::{Exit, Failure},
    tool,
};

/// Deploy a payment API to several AWS regions, from an empty account to a healthy release
#[derive(Debug, Parser)]
#[command(name = "paydeploy", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes:
    0  done, or nothing to do
    1  a step failed
    2  invalid arguments or configuration
    3  not as configured: missing, changed by hand, degraded (status, plan --detailed-exitcode)
    4  preflight failed, or an earlier phase has not run
    5  another run holds the folder or a region
    6  refused: it would delete or replace protected resources, or is older than what is deployed
    7  something did not answer, so its state is unknown
  130  interrupted: run the same command again";

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Up),
    Down(down::Down),
    Status(status::Status),
    Plan(plan::Plan),
    Phase(phase::Phase),
    Runs(runs::Runs),
    Logs(logs::Logs),
    Lock(lock::Lock),
    Token(token::Token),
    Config(config::Config),
    Completions(completions::Completions),
}

/// Runs the command that the arguments name, and returns the exit code of the process.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(exit) = tool::helper(&args).or_else(|| aws::lend::helper(&args)) {
        return exit;
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // clap's exit codes are also ours: 0 for help, 2 for wrong usage. An error while printing is dropped,
            // because it means that the output has no reader.
            drop(error.print());
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    let exit = match dispatch(cli.command) {
        Ok(exit) => exit,
        Err(Failure { exit, error, fix }) => {
            let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
            eprintln!("error: {}", chain.join("\n  because "));
            if let Some(fix) = fix {
                eprintln!("fix: {fix}");
            }
            exit
        }
    };
    console::flush();
    exit.into()
}

fn dispatch(command: Command) -> Result<Exit, Failure> {
    match command {
        // These need no runtime.
        Command::Config(command) => return command.run(),
        Command::Completions(command) => return Ok(command.run(&mut Cli::command())),
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
            Command::Runs(command) => command.run().await,
            Command::Logs(command) => command.run().await,
            Command::Lock(command) => command.run().await,
            Command::Token(command) => command.run().await,
            Command::Config(_) | Command::Completions(_) => unreachable!("answered above"),
        }
    })
}
