use clap::{Args, Subcommand};

use super::{ConfigFile, Exit, Failure, Format, Reading, confirm, table};
use crate::{
    lease::{Removed, named},
    state::Life,
    step::RegionName,
};

/// Show who is at work in the regions, or remove the lease of a run that has ended
///
/// Each run holds a lease per region, an object in the region's state bucket. A lease whose run has died expires by
/// itself: the next run takes it over once it has seen no renewal for three minutes, or immediately on the machine on
/// which the run died.
#[derive(Debug, Args)]
pub struct Lock {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Show(Show),
    Break(Break),
}

/// Show which run holds each region
#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    reading: Reading,
}

/// Remove the lease of a region whose run has certainly ended
///
/// If that run is still active, it notices at its next renewal and stops at a safe point. So the region stays closed to
/// others for another minute. Ctrl-C ends that wait, not the removal.
#[derive(Debug, Args)]
struct Break {
    #[command(flatten)]
    file: ConfigFile,
    /// Region whose lease to remove; also one that is no longer configured
    region: RegionName,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

impl Lock {
    pub async fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::Show(show) => show.run().await,
            Command::Break(remove) => remove.run().await,
        }
    }
}

impl Show {
    async fn run(self) -> Result<Exit, Failure> {
        let session = self.reading.file.open("lock show", &self.reading.regions.region).await?;
        let holders = session.or_interrupted(session.holders()).await?;
        let is_unknown = holders.values().any(Result::is_err);
        for (region, error) in
            holders.iter().filter_map(|(region, held)| Some((region, held.as_ref().err()?)))
        {
            eprintln!("region `{region}` cannot be read: {error}");
        }
        match self.reading.output {
            Format::Json => println!("{}", table::holders_json(&holders)?),
            Format::Table => print!("{}", table::holders_text(&holders)),
        }
        Ok(if is_unknown { Exit::Unknown } else { Exit::Ok })
    }
}

impl Break {
    async fn run(self) -> Result<Exit, Failure> {
        let Self { file, region, yes } = self;
        let session = file.open(&format!("lock break {region}"), std::slice::from_ref(&region)).await?;
        let mut holders = session.or_interrupted(session.holders()).await?;
        let held = holders.remove(&region).unwrap_or(Ok(None));
        let Some(lease) = held.map_err(|error| Failure::of_step(Exit::Unknown, error))? else {
            println!("region `{region}` is free");
            return Ok(Exit::Ok);
        };
        let holder = named(&lease.holder);
        if lease.life() == Life::Alive {
            let pid = lease.holder.pid;
            return Err(Failure::new(Exit::Locked, format!("{holder} is running on this machine"))
                .fix(format!("interrupt it: kill -INT {pid}")));
        }
        eprintln!("region `{region}` is held by {holder}");
        if !yes {
            confirm::by_name(&session, region.as_str(), "remove its lease", "nothing was removed").await?;
        }
        eprintln!("waiting for a minute, in which that run notices if it is still active");
        if session.remove_lease(&region, &lease).await? == Removed::Alive {
            eprintln!("warning: that run is still active, and will stop at its next safe point");
        }
        println!("region `{region}` is free");
        Ok(Exit::Ok)
    }
}
