//! A paydeploy process: where it runs, when it dies, and what it meets.
//!
//! - It dies between two moments of the world: before a request arrives, while it is served, or before its answer
//!   arrives. From then on nothing that it has started goes on: whatever still asks the world waits forever.
//! - Faults are bounded: a few requests fail or lose their answer, and one region's bucket is down for some minutes.
//!   That is less than the time for which a step is retried.

use std::{
    fs::OpenOptions,
    io::Write as _,
    path::PathBuf,
    process::{Child, Command},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{
    state::{Machine, Store},
    step::{RegionName, RunId},
    tool::start_time,
};

/// No process of this machine: the kernel's largest process id is 2^22.
const NOBODY: u32 = 1 << 23;

/// A machine and a checkout on it.
pub struct Place {
    pub machine: Machine,
    pub folder: TempDir,
}

impl Place {
    pub fn new(name: &str) -> Self {
        let machine =
            Machine { host: name.to_owned(), boot: format!("{name}-1"), processes: "pid:[1]".to_owned() };
        Self { machine, folder: folder() }
    }

    /// The same machine after a power cut, with what is on its disk: a line of the journal may be cut off.
    pub fn rebooted(self) -> Self {
        let store = Store::open(self.folder.path()).unwrap();
        if let Some(last) = store.runs().unwrap().first() {
            let journal = store.run(last).join("journal.ndjson");
            let mut journal = OpenOptions::new().append(true).open(journal).unwrap();
            journal.write_all(b"{\"at\":\"2026-1\xc2").unwrap();
        }
        let boot = format!("{}+", self.machine.boot);
        Self { machine: Machine { boot, ..self.machine }, ..self }
    }

    /// Another checkout on the same machine.
    pub fn beside(&self) -> Self {
        Self { machine: self.machine.clone(), folder: folder() }
    }
}

/// In memory where the machine offers that: the journal is synced some hundred times in each round.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// What a process meets.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// How many requests may still fail or lose their answer.
    pub left: u32,
    /// The bucket of a region does not answer from a time to another one, counted from the start of the process.
    pub outage: Option<(RegionName, Duration, Duration)>,
}

/// When something happens to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At this moment of the world, counted from one.
    Moment(u32),
    /// As before, but only moments count in which it has claimed something or repairs something.
    Claimed(u32),
    After(Duration),
}

/// How a process ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Killed(When),
    /// Interrupted at this moment; a second time after a pause, which forces the stop.
    Interrupted(u32, Option<Duration>),
}

pub struct Process {
    pub number: u32,
    pub end: Option<End>,
    /// How long it waits for another process that holds a region.
    pub patience: Duration,
    /// At this moment a rival starts.
    pub rival_at: Option<u32>,
    pub faults: Mutex<Faults>,
    pub started: tokio::time::Instant,
    alive: AtomicBool,
    moments: AtomicU32,
    claimed_moments: AtomicU32,
    pub killed: CancellationToken,
    pub interrupted: CancellationToken,
    pub rival: CancellationToken,
    /// A real process in its place, where another one on the same machine can look it up.
    stand_in: Mutex<Option<Child>>,
    pub pid: u32,
    pub start: u64,
}

impl Process {
    pub fn new(number: u32, end: Option<End>, faults: Faults, is_visible: bool) -> Self {
        let stand_in = is_visible.then(|| Command::new("sleep").arg("600").spawn().unwrap());
        let pid = stand_in.as_ref().map_or(NOBODY, Child::id);
        Self {
            number,
            end,
            // Half of them wait.
            patience: Duration::from_mins(20) * (number % 2),
            rival_at: None,
            faults: Mutex::new(faults),
            started: tokio::time::Instant::now(),
            alive: AtomicBool::new(true),
            moments: AtomicU32::new(0),
            claimed_moments: AtomicU32::new(0),
            killed: CancellationToken::new(),
            interrupted: CancellationToken::new(),
            rival: CancellationToken::new(),
            start: start_time(pid).unwrap_or(1),
            pid,
            stand_in: Mutex::new(stand_in),
        }
    }

    /// Its command, in the leases that it holds.
    pub fn holder(&self) -> String {
        format!("process {}", self.number)
    }

    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    /// Counts a moment. Returns whether the process dies in it.
    pub fn moment(&self, has_claimed: bool) -> bool {
        let count = u32::from(has_claimed);
        let claimed = self.claimed_moments.fetch_add(count, Ordering::Relaxed) + count;
        let now = self.moments.fetch_add(1, Ordering::Relaxed) + 1;
        if self.rival_at == Some(now) {
            self.rival.cancel();
        }
        match self.end {
            Some(End::Killed(When::Moment(at))) => at == now,
            Some(End::Killed(When::Claimed(at))) => has_claimed && at == claimed,
            Some(End::Interrupted(at, _)) if at == now => {
                self.interrupted.cancel();
                false
            }
            _ => false,
        }
    }

    /// It has died or ended.
    pub fn end(&self) {
        self.alive.store(false, Ordering::Relaxed);
        self.killed.cancel();
        // A rival that was to start later starts when nobody is left.
        self.rival.cancel();
        if let Some(mut stand_in) = self.stand_in.lock().unwrap().take() {
            stand_in.kill().unwrap();
            stand_in.wait().unwrap();
        }
    }

    /// Whether the bucket of a region is down for it.
    pub fn meets_outage(&self, region: &RegionName) -> bool {
        let since = self.started.elapsed();
        let faults = self.faults.lock().unwrap();
        faults
            .outage
            .as_ref()
            .is_some_and(|(down, from, until)| down == region && (*from..*until).contains(&since))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A run of a process, as the world sees it.
#[derive(Debug, Clone)]
pub struct Run {
    pub id: RunId,
    pub folder: PathBuf,
}
