//! The generated references below `docs/`: the command line and the JSON output.
//!
//! A test compares them with the checked-in files; with `UPDATE_DOCS=1` it writes them instead.

use std::fmt::Write as _;

use clap::CommandFactory as _;
use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;

use super::{Cli, runs::RunsDocument, table::StatusDocument};
use crate::report::EventLine;

/// `docs/cli.md`: the long help of every command.
pub fn cli() -> String {
    let mut out = String::from(
        "# Command line\n\n<!-- Generated from the code: UPDATE_DOCS=1 cargo test --test it -- reference -->\n",
    );
    let mut root = Cli::command().term_width(100);
    root.build();
    section(&mut root, &mut out);
    out
}

fn section(command: &mut clap::Command, out: &mut String) {
    let path = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    // clap pads empty lines and the lines of possible values with spaces.
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(out, "\n## `{path}`\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    for subcommand in command.get_subcommands_mut().filter(|subcommand| subcommand.get_name() != "help") {
        section(subcommand, out);
    }
}

/// Everything that `--output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, clippy::large_enum_variant)] // never built: it only joins the schemas
enum Output {
    /// One line of `up`, `down`, `plan` or `phase` with `--output json`.
    Event(EventLine),
    /// The document of `status --output json`.
    Status(StatusDocument),
    /// The document of `runs --output json`.
    Runs(RunsDocument),
}

/// `docs/events.schema.json`: the JSON Schema of all JSON output.
pub fn events() -> Schema {
    let mut schema = schema_for!(Output);
    schema.insert("title".to_owned(), "JSON output of paydeploy".into());
    schema
}
