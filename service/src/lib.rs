//! The payment latency API: `serve` answers requests, `migrate` prepares the database. A library only so that tests can
//! use the parts for which no command exists.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

mod api_keys;
mod cli;
mod http;
mod metrics;
mod migrate;
mod platform;
mod serve;
mod settings;
mod simulation;
mod watch;

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
    }
}

/// For this package's tests.
#[doc(hidden)]
pub mod testing {
    pub use crate::migrate::{Migration, apply_pending};
    pub use crate::platform::database::{Connection, Endpoint};
}
