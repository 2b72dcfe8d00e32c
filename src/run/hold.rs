//! The leases of one command, and why it may not act, if it may not.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use super::{Exit, Failure};
use crate::{
    aws::objects::Objects,
    lease::{Leases, Places, Refused, Waited, key},
    step::{Error, ErrorExt as _, RegionName, Result, Task, World},
};

impl Places for Arc<World> {
    type Place = Objects;

    fn of(&self, region: &RegionName) -> Option<(Objects, String)> {
        Some((self.records(region)?, key(&self.config.project, region)))
    }
}

/// What a command holds in its regions while it runs, as one run or several.
pub(super) struct Hold<P: Places> {
    pub leases: Arc<Leases<P>>,
    /// How long a living holder is waited for.
    patience: Duration,
    refused: OnceLock<Refused>,
    /// Another reason to stop.
    stopped: Mutex<Option<Failure>>,
}

impl<P: Places> Drop for Hold<P> {
    fn drop(&mut self) {
        self.leases.stop();
    }
}

impl<P: Places> Hold<P> {
    /// Holds nothing yet.
    pub fn new(leases: Arc<Leases<P>>, patience: Duration) -> Self {
        Self { leases, patience, refused: OnceLock::new(), stopped: Mutex::default() }
    }

    /// Why the command had to stop: another run holds a region, or this one holds it no more. `line` is the command line of
    /// a command with this one's configuration.
    pub fn failure(&self, line: impl Fn(&str) -> String) -> Option<Failure> {
        if let Some(refused) = self.refused.get() {
            return Some(Self::refusal(refused, line));
        }
        if let Some(lost) = self.leases.fence().lost() {
            let show = line("lock show");
            let fix = format!("run `{show}` to see which run holds it, then run the same command again");
            return Some(Failure::new(Exit::Locked, lost).fix(fix));
        }
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Stops the run softly. The reason is the command's, not this step's, so it is printed once, at the end.
    pub fn stop(&self, task: &Task, why: Failure) -> Error {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        task.cancel.soft.cancel();
        Error::cancelled()
    }

    /// The failure of a command that does not get a region.
    pub fn refusal(refused: &Refused, line: impl Fn(&str) -> String) -> Failure {
        let remove = line(&format!("lock break {}", refused.region));
        Failure::new(Exit::Locked, refused).fix(format!(
            "wait for it with `--lock-wait 30m`; if that run has certainly ended, run `{remove}`"
        ))
    }

    /// Takes the leases of these regions before anything is read, so that what is read stays true. A region without a
    /// bucket is taken by its first step after that exists. Where a lease cannot be read, the preflight says why.
    ///
    /// # Errors
    /// When another run holds one.
    pub async fn take_early(&self, regions: &[RegionName]) -> Result<(), Refused> {
        let say = |text| eprintln!("{text}");
        match self.leases.take(regions, self.patience, say).await {
            Ok(Err(refused)) => Err(refused),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }

    /// Takes the leases of these regions for a step, all or none.
    ///
    /// # Errors
    /// When another run holds one: then this one stops softly.
    pub async fn take(&self, task: &Task, regions: &[RegionName]) -> Result<()> {
        let say = |text| task.progress(text);
        let taken = self.leases.take(regions, self.patience, say).await;
        if self.judge(task, taken)? == Waited::ForLiving {
            let message = "another run was at work in a region after this one had read what exists";
            let why = Failure::new(Exit::Locked, message).fix("run the same command again");
            return Err(self.stop(task, why));
        }
        Ok(())
    }

    /// Takes the hub's lease for a step that changes what all regions share. Returns whether another run was waited for.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub async fn lend(&self, task: &Task) -> Result<bool> {
        let say = |text| task.progress(text);
        let lent = self.leases.lend(&task.step, self.patience, say).await;
        self.judge(task, lent).map(|waited| waited != Waited::No)
    }

    fn judge(&self, task: &Task, taken: Result<Result<Waited, Refused>>) -> Result<Waited> {
        match taken.doing("take the leases of the regions")? {
            Ok(waited) => Ok(waited),
            Err(refused) => {
                // The reason is the command's, not this step's, so it is printed once, at the end.
                self.refused.get_or_init(|| refused);
                task.cancel.soft.cancel();
                Err(Error::cancelled())
            }
        }
    }
}
