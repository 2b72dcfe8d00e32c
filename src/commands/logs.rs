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
    state::{self, Recorded, Store, Unfinished},
    step::{Event, RunId},
};

/// Show the steps of a run, or the log of one step
///
/// A run of another operator is looked for by its id in the regions' state buckets, which have a copy of its journal but
/// not the logs of its steps.
#[derive(Debug, Args)]
pub struct Logs {
    #[command(flatten)]
    file: ConfigFile,
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
        print(state::read(&folder).map_err(Failure::usage)?);
        Ok(Exit::Ok)
    }

    /// Shows a run of another operator.
    async fn elsewhere(&self, prefix: &str) -> Result<Exit, Failure> {
        let session = self.file.open("logs", &[]).await?;
        let (mut found, unread) = session.or_interrupted(session.copies_of(prefix)).await?;
        for (what, error) in &unread {
            eprintln!("{what} cannot be read: {error}");
        }
        let past = match (found.pop(), found.len()) {
            (None, _) => {
                let exit = if unread.is_empty() { Exit::Usage } else { Exit::Unknown };
                return Err(Failure::new(exit, format!("no run starts with `{prefix}`"))
                    .fix("list the runs: paydeploy runs"));
            }
            (Some(_), others @ 1..) => return Err(ambiguous(others + 1, prefix)),
            (Some(past), 0) => past.map_err(|error| Failure::of_step(Exit::Unknown, error))?,
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
        print(past.recorded);
        Ok(Exit::Ok)
    }
}

fn ambiguous(runs: usize, prefix: &str) -> Failure {
    let message = format!("{runs} runs start with `{prefix}`");
    Failure::new(Exit::Usage, message).fix("give more characters of the run id")
}

/// Prints what a run did.
fn print(Recorded { header, records, unknown, torn }: Recorded) {
    println!("run {} · {} · {} · on {}", header.run, header.command, header.at, header.machine.host);
    let unfinished = Unfinished::of(&records).effects;
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
        println!("  ! {step:<40} unfinished: the run ended while this step changed something");
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
