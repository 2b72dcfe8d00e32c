use std::{
    fs,
    io::{self, BufRead, Write},
};

use clap::Args;

use super::{Common, Exit, Failure, session};
use crate::{
    phase::terraform,
    report,
    state::{self, Store},
    step::{Event, RunId},
};

/// Show what a run did, or a step's log
#[derive(Debug, Args)]
pub struct Logs {
    #[command(flatten)]
    common: Common,
    /// The run, or the beginning of its name; the newest if not given
    run: Option<String>,
    /// A step, as in `terraform/spain/cluster`: its log
    step: Option<String>,
}

impl Logs {
    pub fn run(self) -> Result<Exit, Failure> {
        let config = session::configuration(&self.common)?;
        let store = Store::open(&config.root)?;
        let runs = store.runs()?;
        let wanted = self.run.as_deref().unwrap_or_default();
        let matching: Vec<&RunId> = runs.iter().filter(|run| run.as_str().starts_with(wanted)).collect();
        let run = match (matching.as_slice(), self.run.is_some()) {
            ([], _) => {
                return Err(Failure::new(Exit::Usage, "there is no such run").hint("ls .paydeploy/runs"));
            }
            ([_, _, ..], true) => {
                return Err(Failure::new(Exit::Usage, format!("`{wanted}` begins {} runs", matching.len())));
            }
            ([run, ..], _) => *run,
        };
        let folder = store.run(run);
        if let Some(step) = self.step {
            let path = folder.join(format!("{}.log", step.replace('/', ".")));
            let log = fs::File::open(&path)
                .map_err(|_| Failure::new(Exit::Usage, format!("run {run} has no log of `{step}`")))?;
            show(io::BufReader::new(log), io::stdout().lock())?;
            return Ok(Exit::Ok);
        }
        let (header, records) = state::read(&folder).map_err(Failure::usage)?;
        println!("run {run} · {} · {} · on {}", header.command, header.at, header.host);
        for record in records {
            if let Event::StepFinished { step, verdict, elapsed } = record.event {
                println!("  {} {step:<40} {:>8}", report::mark(&verdict), report::duration(elapsed));
            }
        }
        Ok(Exit::Ok)
    }
}

/// A log as a person reads it: of terraform's JSON the words alone.
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
    fn of_terraforms_json_only_the_words_are_shown() {
        let log = "$ terraform apply\n{\"@level\":\"info\",\"@message\":\"aws_vpc.this: Creating...\"}\nhelm says so\n";
        let mut shown = Vec::new();
        show(log.as_bytes(), &mut shown).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        assert_eq!(shown, "$ terraform apply\naws_vpc.this: Creating...\nhelm says so\n");
    }
}
