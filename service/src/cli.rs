//! What may be written after `payment-api`; everything else is configured by the environment.

use std::sync::LazyLock;

use clap::{Parser, Subcommand};

pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that this binary was built from, where its build named it.
pub const REVISION: &str = match option_env!("PAYMENT_API_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

static VERSION_AND_REVISION: LazyLock<String> = LazyLock::new(|| format!("{VERSION} ({REVISION})"));

#[derive(Debug, Parser)]
#[command(version = VERSION_AND_REVISION.as_str(), about, long_about = None)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Command {
    /// Answer requests until SIGTERM (the default)
    Serve,
    /// Make the roles and the schema in the database: directly, not by its proxy, as the master user
    Migrate,
}
