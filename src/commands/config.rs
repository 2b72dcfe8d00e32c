use clap::{Args, Subcommand};

use super::{Exit, Failure};
use crate::config;

/// About `paydeploy.toml`
#[derive(Debug, Args)]
pub struct Config {
    #[command(subcommand)]
    about: About,
}

#[derive(Debug, Subcommand)]
enum About {
    /// Print its JSON schema, for editors
    Schema,
}

impl Config {
    pub fn run(self) -> Result<Exit, Failure> {
        match self.about {
            About::Schema => println!("{}", serde_json::to_string_pretty(&config::schema())?),
        }
        Ok(Exit::Ok)
    }
}
