//! The command line; everything else is configured through environment variables.

use std::sync::LazyLock;

use clap::{Parser, Subcommand};

pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that this binary was built from, or `unknown` if the build did not set it.
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
    /// Serve requests until SIGTERM (default)
    Serve,
    /// Create or update the database roles, schema and tables (connects directly, as the master user)
    Migrate,
}
