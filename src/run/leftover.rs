//! What earlier runs in this folder left behind: child processes that outlived their run, and claims.
//!
//! The kernel releases the lock of a run that is killed, so whoever holds the lock knows that all earlier runs are dead.
//! But a terraform that one of them started may still be applying. Its process id and start time are in that run's
//! journal; a new run waits for it to end, and only then are the claims without an owner.
//!
//! A run takes over what is open before it records that it has started. So the newest run that has started has all
//! that is open, and only those after it, which died in between, have to be read as well.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Exit, Failure,
    others::{CHILD_DEADLINE, Earlier},
};
use crate::{
    state::{self, Header, Life, Machine, Recorded, Store, Unfinished},
    task::MARGIN,
};

/// How often a process is checked. It is not our child, so the kernel does not report its end.
const INTERVAL: Duration = Duration::from_secs(1);

/// Waits for the child processes of earlier runs, and returns what they left open.
///
/// # Errors
/// When a process outlives the deadline, or a journal cannot be read or is from a newer paydeploy.
pub async fn wait(store: &Store) -> Result<Earlier, Failure> {
    let runs = store.runs()?;
    let mut earlier = Earlier { ended: runs.iter().cloned().collect(), ..Earlier::default() };
    for run in runs {
        let Recorded { header, records, .. } = match state::read(&store.run(&run)) {
            Ok(read) => read,
            Err(error @ state::JournalError::Newer { .. }) => return Err(Failure::usage(error)),
            // A run whose header is not on disk had not started anything.
            Err(state::JournalError::NoHeader(_)) => continue,
            // Unread, it could name a terraform that still runs.
            Err(error) => return Err(error.into()),
        };
        let open = Unfinished::of(&records);
        wait_for_children(&header, &open).await?;
        for (step, claims) in open.claims {
            earlier.left.entry(step).or_default().extend(claims);
        }
        if open.started {
            break;
        }
    }
    Ok(earlier)
}

async fn wait_for_children(header: &Header, open: &Unfinished) -> Result<(), Failure> {
    let (here, run) = (Machine::here(), &header.run);
    for (&pid, (step, start, command)) in &open.children {
        let end = Instant::now() + CHILD_DEADLINE;
        let life = || header.machine.life(&here, pid, *start);
        match life() {
            Life::Dead => continue,
            // This machine has been rebooted since.
            Life::Unknown if header.machine.host == here.host && header.machine.boot != here.boot => continue,
            Life::Unknown => {
                // A folder that several machines or containers share. The child was interrupted when its run died.
                let (host, margin) = (&header.machine.host, MARGIN.as_secs());
                eprintln!("waiting {margin} s for `{command}` (process {pid} on {host}, step {step}) to end");
                tokio::time::sleep(MARGIN).await;
                // All others were interrupted at the same time.
                return Ok(());
            }
            Life::Alive => {
                eprintln!("waiting for `{command}` (process {pid}, step {step}): it outlived run {run}");
            }
        }
        while life() == Life::Alive {
            if Instant::now() >= end {
                let message = format!("process {pid} (`{command}`) of run {run} still runs after an hour");
                return Err(Failure::new(Exit::Locked, message)
                    .fix(format!("check what it does; if it hangs, end it: kill -INT {pid}")));
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{super::others::Left, *};
    use crate::{
        state::Journal,
        step::{Event, Phase, RunId, StepId},
        task::Claim,
    };

    fn step() -> StepId {
        StepId::global(Phase::Docker, "build")
    }

    fn claim(name: &str) -> Claim {
        Claim::Probe { application: name.to_owned() }
    }

    fn claimed(name: &str) -> Event {
        Event::Claimed { step: step(), claim: claim(name) }
    }

    fn started(run: &str) -> Event {
        let run = RunId::named(run);
        Event::RunStarted { run, command: "up".to_owned(), headline: String::new(), steps: Vec::new() }
    }

    fn journal(store: &Store, run: &str, events: &[Event]) {
        let run = RunId::named(run);
        let mut journal = Journal::create(&store.run(&run), &Header::new(&run, "up")).unwrap();
        for event in events {
            journal.append(Timestamp::UNIX_EPOCH, event).unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_open_is_that_of_the_newest_run_that_started_and_of_those_that_died_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        journal(&store, "1", &[started("1"), claimed("repaired by a later run")]);
        journal(&store, "2", &[started("2"), claimed("open")]);
        // It died while it took over, and the next one before its header was written.
        journal(&store, "3", &[claimed("open")]);
        std::fs::create_dir(store.run(&RunId::named("4"))).unwrap();
        std::fs::write(store.run(&RunId::named("4")).join("journal.ndjson"), "").unwrap();
        let left = wait(&store).await.unwrap().left;
        assert_eq!(left, Left::from([(step(), [claim("open")].into())]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_that_cannot_be_seen_is_given_the_time_to_end() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let child =
            Event::ChildStarted { step: step(), pid: 7, start: 70, command: "terraform apply".to_owned() };
        let wait_as = async |machine: Machine| {
            let run = RunId::named("1");
            std::fs::remove_dir_all(store.run(&run)).ok();
            let header = Header { machine, ..Header::new(&run, "up") };
            let mut journal = Journal::create(&store.run(&run), &header).unwrap();
            journal.append(Timestamp::UNIX_EPOCH, &child).unwrap();
            let asked = Instant::now();
            wait(&store).await.unwrap();
            asked.elapsed()
        };
        let here = Machine::here();
        let rebooted = Machine { boot: "before".to_owned(), ..here.clone() };
        assert_eq!(wait_as(rebooted).await, Duration::ZERO);
        let container = Machine { processes: "pid:[1]".to_owned(), ..here };
        assert_eq!(wait_as(container).await, MARGIN);
    }
}
