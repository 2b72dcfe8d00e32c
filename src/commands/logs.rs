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
#[derive(Debug, Args)]
pub struct Logs {
    #[command(flatten)]
    file: ConfigFile,
    /// Run id or a unique prefix of it (default: the newest run)
    run: Option<String>,
    /// Step whose log to print, for instance `terraform/spain/cluster`
    step: Option<String>,
}

impl Logs {
    pub fn run(self) -> Result<Exit, Failure> {
        let config = configuration(self.file.config.as_deref())?;
        let store = Store::open(&config.root)?;
        let runs = store.runs()?;
        let prefix = self.run.as_deref().unwrap_or_default();
        let matching: Vec<&RunId> = runs.iter().filter(|run| run.as_str().starts_with(prefix)).collect();
        let run = match (matching.as_slice(), self.run.is_some()) {
            ([], false) => {
                return Err(Failure::new(Exit::Usage, "no runs yet").fix("run `paydeploy up` first"));
            }
            ([], true) => {
                return Err(Failure::new(Exit::Usage, format!("no run starts with `{prefix}`"))
                    .fix(format!("list the runs: ls {}", store.path().join("runs").display())));
            }
            ([_, _, ..], true) => {
                let message = format!("{} runs start with `{prefix}`", matching.len());
                return Err(Failure::new(Exit::Usage, message).fix("give more characters of the run id"));
            }
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
        let Recorded { header, records, unknown, torn } = state::read(&folder).map_err(Failure::usage)?;
        println!("run {run} · {} · {} · on {}", header.command, header.at, header.machine.host);
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
        Ok(Exit::Ok)
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
