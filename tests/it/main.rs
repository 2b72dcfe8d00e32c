//! What a user notices, tested from outside. One file per subject; `journey` needs the sandbox, and `tests/run` runs
//! it.

#![allow(clippy::unwrap_used)] // In a test, a panic is the report.

mod account;
mod addons;
mod bad_input;
mod chart;
mod checkout;
mod children;
mod command_line;
mod config_file;
mod credentials;
mod docs;
mod downgrade;
mod faults;
mod journey;
mod lease;
mod offers;
mod orphans;
mod power_cut;
mod read_only;
mod recipes;
mod reference;
mod scale;
mod secrets;
mod support;
mod teardown;
mod terraform;
mod world;
