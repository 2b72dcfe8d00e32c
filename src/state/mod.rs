//! `.paydeploy/` beside the configuration: runs with their journals and logs, and the lock of the configuration.
//!
//! It records what was running and what happened. What exists is always read from AWS and the clusters.

mod journal;
mod lock;
mod machine;
mod starter;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use journal::{Header, Journal, JournalError, Record, Recorded, Unfinished, line, parse, read};
pub use lock::{LockError, RunLock};
pub use machine::{Life, Machine};
pub use starter::user;

use crate::task::RunId;

/// The folder of all runs.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store beside a configuration, created if it is missing.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn open(beside: &Path) -> io::Result<Self> {
        let root = beside.join(".paydeploy");
        fs::create_dir_all(root.join("runs"))?;
        let ignore = root.join(".gitignore");
        // Also rewritten when it is empty: a full disk may have left it so.
        if ignore.metadata().map_or(0, |file| file.len()) == 0 {
            // Nothing in this folder belongs in a commit.
            fs::write(ignore, "*\n")?;
        }
        Ok(Self { root })
    }

    pub fn path(&self) -> &Path {
        &self.root
    }

    /// A run's folder: its journal and one log file per step.
    pub fn run(&self, run: &RunId) -> PathBuf {
        self.root.join("runs").join(run.as_str())
    }

    /// All runs that have a journal, newest first: ids sort by time.
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

    /// Deletes the folders of all but the newest runs.
    pub fn prune(&self, keep: usize) {
        for run in self.runs().unwrap_or_default().into_iter().skip(keep) {
            // Errors are ignored: old logs are no reason to fail, and the next run tries again.
            drop(fs::remove_dir_all(self.run(&run)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_runs_survive_pruning() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for run in ["1", "2", "3"] {
            fs::create_dir(store.run(&RunId::named(run))).unwrap();
            fs::write(store.run(&RunId::named(run)).join("journal.ndjson"), "").unwrap();
        }
        store.prune(2);
        assert_eq!(store.runs().unwrap(), ["3", "2"].map(RunId::named));
    }
}
