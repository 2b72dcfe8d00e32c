//! Child processes that outlived their run.
//!
//! The kernel releases the lock of a run that is killed, but a terraform that it started may still be applying. Its
//! process id and start time are in that run's journal; a new run waits for it to end.

use std::time::Duration;

use tokio::time::Instant;

use super::{Exit, Failure};
use crate::state::{self, Recorded, Store, Unfinished};

/// Longer than any of our `terraform apply` runs takes: RDS with a second zone needs up to 40 minutes.
const DEADLINE: Duration = Duration::from_secs(60 * 60);
/// How often a process is checked. It is not our child, so the kernel does not report its end.
const INTERVAL: Duration = Duration::from_secs(1);

/// Waits for the child processes of the newest run. Older runs were waited for by those after them.
///
/// # Errors
/// When a process outlives the deadline, or the journal cannot be read or is from a newer paydeploy.
pub async fn wait(store: &Store) -> Result<(), Failure> {
    let Some(last) = store.runs()?.into_iter().next() else { return Ok(()) };
    let Recorded { header, records, .. } = match state::read(&store.run(&last)) {
        Ok(read) => read,
        Err(error @ state::JournalError::Newer { .. }) => return Err(Failure::usage(error)),
        // A run whose header is not on disk had not started anything.
        Err(state::JournalError::NoHeader(_)) => return Ok(()),
        // Unread, it could name a terraform that still runs.
        Err(error) => return Err(error.into()),
    };
    for (pid, (step, start, command)) in Unfinished::of(&records).children {
        let end = Instant::now() + DEADLINE;
        if state::is_alive(&header, pid, start) {
            eprintln!("waiting for `{command}` (process {pid}, step {step}): it outlived run {last}");
        }
        while state::is_alive(&header, pid, start) {
            if Instant::now() >= end {
                let message = format!("process {pid} (`{command}`) of run {last} still runs after an hour");
                return Err(Failure::new(Exit::Locked, message)
                    .fix(format!("check what it does; if it hangs, end it: kill -INT {pid}")));
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
    Ok(())
}
