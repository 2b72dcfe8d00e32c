//! The lock that keeps a second run of a configuration out.

use super::{Exit, FREE_DISK_SPACE, Failure, Session, leftover};
use crate::state::{LockError, RunLock};

impl Session {
    /// Takes the lock, then waits for child processes that outlived an earlier run.
    ///
    /// # Errors
    /// [`Exit::Locked`] when another run holds it, or a child process does not end;
    /// [`Exit::Interrupted`] when interrupted.
    pub async fn lock(&self) -> Result<RunLock, Failure> {
        let lock = RunLock::take(self.store.path(), &self.run).map_err(|error| {
            let held = matches!(error, LockError::Held { .. });
            let failure = Failure::from(error);
            if held {
                Failure { exit: Exit::Locked, ..failure }.fix("wait for that run to end, or interrupt it")
            } else {
                failure.fix(FREE_DISK_SPACE)
            }
        })?;
        self.or_interrupted(leftover::wait(&self.store)).await??;
        Ok(lock)
    }
}
