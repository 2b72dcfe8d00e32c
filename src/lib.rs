//! The parts of `paydeploy`; the binary only parses and dispatches. `docs/architecture.md` says what each is for.

pub mod aws;
pub mod commands;
pub mod config;
pub mod container;
pub mod engine;
pub mod fact;
pub mod kubernetes;
pub mod phase;
pub mod plan;
pub mod report;
pub mod state;
pub mod step;
pub mod task;
pub mod tool;
