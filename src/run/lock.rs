//! What keeps other runs out: the lock of the folder, and the leases of the regions.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use super::{Exit, Failure, Session, hold::Hold, leftover};
use crate::{
    lease::{Eyes, Leases},
    state::{LockError, Machine, RunLock},
    step::{RunId, World},
    task::{since_boot, write_fix},
};

/// Between two attempts to take the lock.
const INTERVAL: Duration = Duration::from_millis(500);

impl Session {
    /// Runs what may change the account: under the lock, and with the leases of its regions. However it ends, they are
    /// returned.
    ///
    /// # Errors
    /// As [`Self::lock`], and those of `work`.
    pub async fn locked<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let _lock = self.lock().await?;
        let eyes = Eyes { here: Machine::here(), ended: self.earlier().ended, clock: since_boot };
        let (fence, hub) = (self.world.aws.fence().clone(), self.config().hub().name.clone());
        for region in self.config().regions.values() {
            fence.locate(&region.name, &region.aws_region);
        }
        let leases = Leases::start(self.world.clone(), self.header(), eyes, fence, hub);
        let hold = Arc::new(Hold::new(leases, self.lock_wait));
        // Set once: a command has one session, and locks once.
        drop(self.hold.set(hold.clone()));
        let done = match self.or_interrupted(hold.take_early(self.chosen())).await {
            Ok(Ok(())) => work(self).await,
            Ok(Err(refused)) => {
                Err(Hold::<Arc<World>>::refusal(&refused, |command| self.command_line_in(command, &[])))
            }
            Err(interrupted) => Err(interrupted),
        };
        hold.leases.finish().await;
        match done {
            // What failed may have failed because of that.
            Err(failure) if failure.exit != Exit::Interrupted => Err(self.stopped().unwrap_or(failure)),
            done => done,
        }
    }

    /// Takes the lock, then waits for child processes that outlived an earlier run.
    ///
    /// # Errors
    /// [`Exit::Locked`] when another run holds it, or a child process does not end;
    /// [`Exit::Interrupted`] when interrupted.
    pub async fn lock(&self) -> Result<RunLock, Failure> {
        let lock = self.or_interrupted(self.folder()).await??;
        self.read_earlier().await?;
        Ok(lock)
    }

    async fn folder(&self) -> Result<RunLock, Failure> {
        let started = Instant::now();
        let mut has_said = false;
        loop {
            let error = match RunLock::take(self.store.path(), &self.run) {
                Ok(lock) => return Ok(lock),
                Err(error) => error,
            };
            match &error {
                LockError::Held { owner } if started.elapsed() < self.lock_wait => {
                    if !std::mem::replace(&mut has_said, true) {
                        eprintln!("waiting for another run in this folder: {owner}");
                    }
                    tokio::time::sleep(INTERVAL).await;
                }
                LockError::Held { .. } => {
                    return Err(Failure { exit: Exit::Locked, ..error.into() }
                        .fix("wait for that run with `--lock-wait 30m`, or interrupt it"));
                }
                LockError::Io(_, cause) => {
                    let fix = write_fix(cause);
                    return Err(Failure::from(error).fix(fix));
                }
            }
        }
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
