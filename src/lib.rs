//! The modules of `paydeploy`, which `docs/architecture.md` describes. The binary only calls [`commands::main`].

// First and by text, so that no module prints in another way.
#[macro_use]
#[path = "console/macros.rs"]
mod macros;

pub mod aws;
pub mod commands;
pub mod config;
pub mod console;
pub mod container;
pub mod engine;
pub mod fact;
pub mod kubernetes;
pub mod lease;
pub mod phase;
pub mod plan;
pub mod report;
pub mod run;
pub mod state;
pub mod step;
pub mod task;
#[cfg(test)]
mod testing;
pub mod tool;
pub mod web_proxy;
