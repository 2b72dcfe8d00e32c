//! `.paydeploy/` beside the configuration: runs, their journals and logs, and the lock of this machine.
//!
//! It tells what was under way, how long things take and what happened; never what is true.

mod journal;
mod lock;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use journal::{Header, Journal, JournalError, Record, Unfinished, is_alive, read};
pub use lock::{Lock, LockError};

use crate::task::RunId;

/// The folder of all runs.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store beside a configuration, made if it is not there.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn open(beside: &Path) -> io::Result<Self> {
        let root = beside.join(".paydeploy");
        fs::create_dir_all(root.join("runs"))?;
        let ignore = root.join(".gitignore");
        // a full disk may have left it empty
        if ignore.metadata().map_or(0, |file| file.len()) == 0 {
            // nothing in here belongs into a commit
            fs::write(ignore, "*\n")?;
        }
        Ok(Self { root })
    }

    pub fn path(&self) -> &Path {
        &self.root
    }

    /// A run's folder: its journal and a log file a step.
    pub fn run(&self, run: &RunId) -> PathBuf {
        self.root.join("runs").join(run.as_str())
    }

    /// All runs that began, the newest first: names sort by time.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn runs(&self) -> io::Result<Vec<RunId>> {
        let mut runs: Vec<RunId> = fs::read_dir(self.root.join("runs"))?
            .filter_map(|entry| Some(RunId::named(entry.ok()?.file_name().to_str()?)))
            .filter(|run| self.run(run).join("journal.ndjson").is_file())
            .collect();
        runs.sort();
        runs.reverse();
        Ok(runs)
    }
}
