//! The payment API: `serve` answers requests, `migrate` prepares the database, `keys` admits clients. A library only so that tests can
//! use the parts for which no command exists.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

mod accounts;
mod api_keys;
mod audit;
mod cli;
mod command;
mod domain;
mod flow;
mod http;
mod metrics;
mod migrate;
mod platform;
mod provider;
mod residency;
mod serve;
mod settings;
mod simulation;
mod store;
mod watch;
mod work;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Arguments, Command};
use crate::platform::environment::Environment;
use crate::platform::log::Log;

/// Runs the command of the process's arguments and environment.
pub async fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let environment = Environment::of_process();
    let log = Log::start(&environment);
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(&environment, &log).await,
        Command::Migrate => migrate::run(&environment).await,
        Command::Operate(command) => command::run(&environment, command).await,
    }
}

/// For this package's tests.
#[doc(hidden)]
pub mod testing {
    pub use crate::migrate::{Migration, apply_pending};
    pub use crate::platform::database::{Connection, Endpoint};
}
