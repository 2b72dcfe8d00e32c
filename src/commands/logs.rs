use std::{
    fs,
    io::{self, BufRead, Write},
};

use clap::Args;

use super::{ConfigFile, Exit, Failure};
use crate::{
    phase::terraform,
    report,
    run::configuration,
    state::{self, Life, Machine, Recorded, Store, Unfinished},
    step::{Event, RegionName, RunId},
};

/// Show the steps of a run, or the log of one step
///
/// A run of another operator is searched for by its id in the regions' state buckets, which have a copy of its journal but
/// not the logs of its steps.
#[derive(Debug, Args)]
pub struct Logs {
    #[command(flatten)]
    file: ConfigFile,
    /// Also search for the run in this region, which is no longer configured (repeatable)
    #[arg(long, value_name = "REGION")]
    region: Vec<RegionName>,
    /// Run id or a unique prefix of it, as `paydeploy runs` lists them (default: the newest run of this folder)
    run: Option<String>,
    /// Step whose log to print, for instance `terraform/spain/cluster`
    step: Option<String>,
}

impl Logs {
    pub async fn run(self) -> Result<Exit, Failure> {
        let config = configuration(self.file.config.as_deref())?;
        let store = Store::open(&config.root)?;
        let runs = store.runs()?;
        let prefix = self.run.as_deref().unwrap_or_default();
        let matching: Vec<&RunId> = runs.iter().filter(|run| run.as_str().starts_with(prefix)).collect();
        let run = match (matching.as_slice(), self.run.is_some()) {
            ([], false) => {
                return Err(Failure::new(Exit::Usage, "no runs yet").fix("run `paydeploy up` first"));
            }
            ([], true) => return self.elsewhere(prefix).await,
            ([_, _, ..], true) => return Err(ambiguous(matching.len(), prefix)),
            ([run, ..], _) => *run,
        };
        let folder = store.run(run);
        if let Some(step) = self.step {
            let path = folder.join(format!("{}.log", step.replace('/', ".")));
            let log = fs::File::open(&path).map_err(|_| {
                Failure::new(Exit::Usage, format!("run {run} has no log of `{step}`"))
                    .fix(format!("list its steps: paydeploy logs {run}"))
            })?;
            // Written directly, unlike everything else: a log may be long, and somebody may read it in a pager for
            // an hour. Nothing else waits meanwhile.
            return match show(io::BufReader::new(log), io::stdout().lock()) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
                _ => Ok(Exit::Ok),
            };
        }
        print(state::read(&folder).map_err(Failure::usage)?, true);
        Ok(Exit::Ok)
    }

    /// Shows a run of another operator.
    async fn elsewhere(&self, prefix: &str) -> Result<Exit, Failure> {
        let session = self.file.open("logs", &self.region).await?;
        let (found, unread) = session.or_interrupted(session.copy_with(prefix)).await?;
        for (what, error) in &unread {
            eprintln!("{what} cannot be read: {error}");
        }
        let past = match found {
            Ok(past) => past.map_err(|error| Failure::of_step(Exit::Unknown, error))?,
            Err(0) if unread.is_empty() => {
                return Err(Failure::new(Exit::Usage, format!("no run starts with `{prefix}`"))
                    .fix("list the runs: paydeploy runs"));
            }
            Err(0) => {
                let message = format!("no run starts with `{prefix}` where runs could be read");
                return Err(Failure::new(Exit::Unknown, message).fix("list the runs: paydeploy runs"));
            }
            Err(several) => return Err(ambiguous(several, prefix)),
        };
        let host = &past.recorded.header.machine.host;
        if let Some(step) = &self.step {
            let run = &past.recorded.header.run;
            return Err(Failure::new(
                Exit::Usage,
                format!("the log of `{step}` stays on {host}, where run {run} ran"),
            )
            .fix(format!("show the run's steps: paydeploy logs {run}")));
        }
        print(past.recorded, false);
        Ok(if unread.is_empty() { Exit::Ok } else { Exit::Unknown })
    }
}

fn ambiguous(runs: usize, prefix: &str) -> Failure {
    let message = format!("{runs} runs start with `{prefix}`");
    Failure::new(Exit::Usage, message).fix("give more characters of the run id")
}

/// Prints what a run of this folder, or of another operator, did.
fn print(Recorded { header, records, unknown, torn }: Recorded, is_here: bool) {
    println!("run {} · {} · {} · on {}", header.run, header.command, header.at, header.machine.host);
    let unfinished = Unfinished::of(&records).effects;
    let has_ended = records.iter().any(|record| matches!(record.event, Event::RunFinished { .. }));
    let life = header.machine.life(&Machine::here(), header.pid, header.start);
    for record in records {
        if let Event::StepFinished { step, verdict, elapsed } = record.event {
            println!("  {} {step:<40} {:>8}", report::mark(&verdict), report::duration(elapsed));
        }
    }
    if torn > 0 {
        let lines = if torn == 1 { "line" } else { "lines" };
        println!("  ! {torn} {lines} of the journal cut off by a crash");
    }
    if !unknown.is_empty() {
        println!("  ! not shown: {}, recorded by a newer paydeploy", unknown.join(", "));
    }
    for step in unfinished {
        match life {
            Life::Alive if !has_ended => println!("  … {step:<40} at work"),
            Life::Unknown if !has_ended && !is_here => {
                println!("  … {step:<40} at work when this was recorded");
            }
            _ => println!("  ! {step:<40} unfinished: the run ended while this step changed something"),
        }
    }
}

/// Prints a log in readable form: of Terraform's JSON lines, only the messages.
fn show(log: impl BufRead, mut out: impl Write) -> io::Result<()> {
    for line in log.split(b'\n') {
        let line = line?;
        writeln!(out, "{}", terraform::readable(&String::from_utf8_lossy(&line)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::show;

    #[test]
    fn of_terraforms_json_only_the_messages_are_shown() {
        let log = "$ terraform apply\n{\"@level\":\"info\",\"@message\":\"aws_vpc.this: Creating...\"}\nhelm output\n";
        let mut shown = Vec::new();
        show(log.as_bytes(), &mut shown).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        assert_eq!(shown, "$ terraform apply\naws_vpc.this: Creating...\nhelm output\n");
    }
}
