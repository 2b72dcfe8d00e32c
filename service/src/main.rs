//! The payment latency API: `serve` answers requests, `migrate` prepares the database.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

mod api_keys;
mod cli;
mod database;
mod descriptors;
mod environment;
mod http;
mod lifecycle;
mod log;
mod metrics;
mod migrate;
mod payment;
mod retention;
mod secret;
mod serve;
mod server;
mod settings;
mod signals;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Arguments, Command};
use crate::environment::Environment;
use crate::log::Log;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let environment = Environment::of_process();
    let log = Log::start(&environment);
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(&environment, &log).await,
        Command::Migrate => migrate::run(&environment).await,
    }
}
