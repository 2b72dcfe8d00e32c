use clap::Args;
use comfy_table::{Cell, Table, presets};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Exit, Failure, Format, Reading};
use crate::{
    report::{self, SCHEMA},
    run::{Ending, Holders, Past},
};

/// How much of a run's id is enough for `logs`: the part that is its time.
const SHORT: usize = 12;

/// List the newest runs, also those of other operators
///
/// A run that changes something keeps a copy of its journal in the state bucket of each region that it changes, for a
/// month. A run of another operator that was refused or changed nothing is not listed. The logs of a run's steps stay on the
/// machine that ran it.
#[derive(Debug, Args)]
pub struct Runs {
    #[command(flatten)]
    reading: Reading,
    /// How many runs to list at most
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: usize,
}

impl Runs {
    pub async fn run(self) -> Result<Exit, Failure> {
        let session = self.reading.file.open("runs", &self.reading.regions.region).await?;
        let read = async { tokio::join!(session.history(self.limit), session.holders()) };
        let (history, holders) = session.or_interrupted(read).await?;
        for (what, error) in &history.unread {
            eprintln!("{what} cannot be read: {error}");
        }
        for (run, error) in &history.damaged {
            eprintln!("warning: run {run} is not shown: {error}");
        }
        for (region, held) in &holders {
            if let Err(error) = held {
                eprintln!("the lease of region `{region}` cannot be read: {error}");
            }
        }
        let is_unknown = !history.unread.is_empty() || holders.values().any(Result::is_err);
        match self.reading.output {
            Format::Json => println!("{}", json(&history.runs, &holders)?),
            Format::Table => print!("{}", text(&history.runs, &holders)),
        }
        Ok(if is_unknown { Exit::Unknown } else { Exit::Ok })
    }
}

fn text(runs: &[Past], holders: &Holders) -> String {
    if runs.is_empty() {
        return "no runs yet\n".to_owned();
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["run", "started", "took", "result", "command", "by"]);
    for past in runs {
        let header = &past.recorded.header;
        let started = header.at.strftime("%Y-%m-%d %H:%M UTC").to_string();
        let took = past.elapsed().map(report::duration).unwrap_or_default();
        let by = match header.by.as_str() {
            "" => header.machine.host.clone(),
            by => format!("{by} on {}", header.machine.host),
        };
        let id = header.run.as_str();
        table.add_row([
            Cell::new(id.get(..SHORT).unwrap_or(id)),
            Cell::new(started),
            Cell::new(took),
            Cell::new(result(&past.ending(holders))),
            Cell::new(&header.command),
            Cell::new(by),
        ]);
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn result(ending: &Ending) -> String {
    match ending {
        Ending::Running => "running".to_owned(),
        Ending::Succeeded => "succeeded".to_owned(),
        Ending::Planned => "planned".to_owned(),
        Ending::Failed(steps) => format!("{} failed", report::steps(steps.len())),
        Ending::Interrupted => "interrupted".to_owned(),
        Ending::Stopped => "stopped".to_owned(),
        Ending::Died => "died".to_owned(),
        Ending::Unknown => "unknown".to_owned(),
    }
}

/// The document of `runs --output json`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RunsDocument {
    /// The version of this document's schema.
    schema: u32,
    /// The newest first.
    runs: Vec<Run>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Run {
    run: String,
    command: String,
    /// Who started it: a job's address, or a user.
    by: String,
    host: String,
    pid: u32,
    started: jiff::Timestamp,
    /// Null if its end is not known.
    elapsed_seconds: Option<f64>,
    result: RunResult,
    /// The steps that failed.
    failed: Vec<String>,
    /// Whether its journal and logs are in this folder.
    is_here: bool,
    /// Otherwise the regions whose state buckets have a copy of its journal.
    copies: Vec<String>,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum RunResult {
    Running,
    Succeeded,
    /// It was to change nothing.
    Planned,
    Failed,
    Interrupted,
    /// It ended early without a failure: another run had the region, the deployment was newer, or an earlier phase had not
    /// run.
    Stopped,
    /// Nothing is known of its end.
    Died,
    /// Whether it still runs cannot be read.
    Unknown,
}

fn json(runs: &[Past], holders: &Holders) -> serde_json::Result<String> {
    let run = |past: &Past| {
        let header = &past.recorded.header;
        let (result, failed) = match past.ending(holders) {
            Ending::Running => (RunResult::Running, Vec::new()),
            Ending::Succeeded => (RunResult::Succeeded, Vec::new()),
            Ending::Planned => (RunResult::Planned, Vec::new()),
            Ending::Failed(steps) => (RunResult::Failed, steps),
            Ending::Interrupted => (RunResult::Interrupted, Vec::new()),
            Ending::Stopped => (RunResult::Stopped, Vec::new()),
            Ending::Died => (RunResult::Died, Vec::new()),
            Ending::Unknown => (RunResult::Unknown, Vec::new()),
        };
        Run {
            run: header.run.to_string(),
            command: header.command.clone(),
            by: header.by.clone(),
            host: header.machine.host.clone(),
            pid: header.pid,
            started: header.at,
            elapsed_seconds: past.elapsed().map(|elapsed| elapsed.as_secs_f64()),
            result,
            failed: failed.iter().map(ToString::to_string).collect(),
            is_here: past.copies.is_empty(),
            copies: past.copies.iter().map(ToString::to_string).collect(),
        }
    };
    serde_json::to_string_pretty(&RunsDocument { schema: SCHEMA, runs: runs.iter().map(run).collect() })
}
