//! The lock that keeps a second run of a configuration out.

use std::sync::PoisonError;

use super::{Exit, Failure, Session, leftover};
use crate::{
    state::{LockError, RunLock},
    step::RunId,
    task::write_fix,
};

impl Session {
    /// Takes the lock, then waits for child processes that outlived an earlier run.
    ///
    /// # Errors
    /// [`Exit::Locked`] when another run holds it, or a child process does not end;
    /// [`Exit::Interrupted`] when interrupted.
    pub async fn lock(&self) -> Result<RunLock, Failure> {
        let lock = RunLock::take(self.store.path(), &self.run).map_err(|error| match &error {
            LockError::Held { .. } => Failure { exit: Exit::Locked, ..error.into() }
                .fix("wait for that run to end, or interrupt it"),
            LockError::Io(_, cause) => {
                let fix = write_fix(cause);
                Failure::from(error).fix(fix)
            }
        })?;
        self.read_earlier().await?;
        Ok(lock)
    }

    /// Continues as another run under the same lock. It takes over what the one before has left open.
    ///
    /// # Errors
    /// As [`Self::lock`].
    pub async fn start_next(&mut self) -> Result<(), Failure> {
        self.run = RunId::new();
        self.read_earlier().await
    }

    async fn read_earlier(&self) -> Result<(), Failure> {
        let earlier = self.or_interrupted(leftover::wait(&self.store)).await??;
        *self.earlier.lock().unwrap_or_else(PoisonError::into_inner) = earlier;
        Ok(())
    }
}
