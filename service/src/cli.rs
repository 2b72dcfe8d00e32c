//! The command line; everything else is configured through environment variables.

use std::sync::LazyLock;

use clap::{Parser, Subcommand};
use strum::VariantArray;

use crate::audit::Anchor;
use crate::domain::{ApiKeyId, Scope};

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

#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Serve requests until SIGTERM (default)
    Serve,
    /// Create or update the database roles, schema and tables (connects directly, as the master user)
    Migrate,
    #[command(flatten)]
    Operate(Operate),
}

/// What an operator does in a pod of the service.
#[derive(Debug, Clone, Subcommand)]
pub enum Operate {
    /// Create, list and revoke the API keys of accounts
    #[command(subcommand)]
    Keys(Keys),
    /// Verify that no event was edited, removed or added since it was stored
    VerifyEvents {
        /// A seal as the service logged it; it must be the same in the database. May be given several times
        #[arg(long = "anchor", value_name = "NUMBER:HASH")]
        anchors: Vec<Anchor>,
    },
    /// Blank a customer's name, descriptions and metadata; amounts and events stay
    Erase {
        /// The customer, as its payments name it
        customer: String,
        /// The account whose customer it is; needed if several have one of this name
        #[arg(long)]
        account: Option<String>,
    },
}

#[derive(Debug, Clone, Subcommand)]
pub enum Keys {
    /// Create a key and print it, once; the account is created with its first key
    Create {
        /// The account's name
        account: String,
        /// What the key may do; everything, if no scope is given
        #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
        scopes: Vec<Scope>,
    },
    /// List the accounts and their keys, also revoked ones
    List,
    /// Revoke a key; it is refused after five seconds at most
    Revoke {
        /// The key's id, which starts with `key_`
        id: ApiKeyId,
    },
}

fn scope(text: &str) -> Result<Scope, String> {
    let names: Vec<&str> = Scope::VARIANTS.iter().map(|scope| scope.as_str()).collect();
    text.parse().map_err(|_| format!("expected one of {}", names.join(", ")))
}
