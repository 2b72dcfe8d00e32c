//! Work that ends: with the deadline, or when the run is stopped.

use std::{future::Future, time::Duration};

use crate::task::{Error, Task};

/// Drops `work` when it takes longer than `deadline` (a transient failure) or the run is stopped. What
/// talks to an engine or a registry may be dropped at any time: they give up what nobody waits for.
///
/// # Errors
/// Those of `work`, and the two above.
pub(super) async fn bounded<T, E: From<Error>>(
    task: &Task,
    deadline: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::select! {
        done = tokio::time::timeout(deadline, work) => match done {
            Ok(done) => done,
            Err(_) => Err(Error::transient(format!("gave up after {} s", deadline.as_secs())).into()),
        },
        () = task.cancel.soft.cancelled() => Err(Error::cancelled().into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::bounded;
    use crate::task::{Class, Result, testing};

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_a_transient_failure() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let never = std::future::pending::<Result<()>>();
        let error = bounded(&task, Duration::from_secs(7), never).await.unwrap_err();
        assert_eq!(error.class, Class::Transient);
        assert_eq!(error.to_string(), "gave up after 7 s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_run_does_not_wait() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        task.cancel.soft.cancel();
        let never = std::future::pending::<Result<()>>();
        let error = bounded(&task, Duration::MAX, never).await.unwrap_err();
        assert_eq!(error.class, Class::Cancelled);
    }
}
