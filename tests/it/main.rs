//! What a user notices, from outside. A file a subject; `journey` needs the sandbox and is run by `tests/run`.

#![allow(clippy::unwrap_used)] // a test says what it expects by failing

mod account;
mod bad_input;
mod chart;
mod checkout;
mod command_line;
mod config_file;
mod docs;
mod journey;
mod recipes;
mod support;
mod world;
