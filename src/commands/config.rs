use clap::{Args, Subcommand};

use super::{Exit, Failure};
use crate::config;

/// Work with the configuration file
#[derive(Debug, Args)]
pub struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the JSON Schema of `paydeploy.toml`, for editors
    Schema,
}

impl Config {
    pub fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::Schema => println!("{}", serde_json::to_string_pretty(&config::schema())?),
        }
        Ok(Exit::Ok)
    }
}
