//! Work with a deadline that also ends when the run is cancelled, or may not act any more.

use std::{future::Future, time::Duration};

use crate::task::{Error, Task};

/// Drops `work` when it exceeds `deadline` (a transient failure), the run is cancelled or a lease has expired. Requests to an
/// engine or a registry may be dropped at any time: the server discards an operation whose client has
/// disconnected.
///
/// # Errors
/// Those of `work`, and both of the above.
pub(super) async fn bounded<T, E: From<Error>>(
    task: &Task,
    deadline: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    task.fence.pass(task.place())?;
    tokio::select! {
        done = tokio::time::timeout(deadline, work) => match done {
            Ok(done) => done,
            Err(_) => Err(Error::transient(format!("timed out after {} s", deadline.as_secs())).into()),
        },
        () = task.cancel.soft.cancelled() => Err(Error::cancelled().into()),
        shut = task.fence.shut(task.place()) => Err(shut.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::bounded;
    use crate::task::{Class, Result, testing};

    #[tokio::test(start_paused = true)]
    async fn exceeding_the_deadline_is_a_transient_failure() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let never = std::future::pending::<Result<()>>();
        let error = bounded(&task, Duration::from_secs(7), never).await.unwrap_err();
        assert_eq!(error.class, Class::Transient);
        assert_eq!(error.to_string(), "timed out after 7 s");
    }

    #[tokio::test(start_paused = true)]
    async fn what_runs_ends_when_another_run_may_act() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let fence = task.fence.clone();
        let taken = async {
            fence.lose(&"spain".parse().unwrap(), "it was taken");
            std::future::pending::<Result<()>>().await
        };
        let error = bounded(&task, Duration::MAX, taken).await.unwrap_err();
        assert_eq!((error.class, error.to_string().as_str()), (Class::Cancelled, "it was taken"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_run_does_not_wait() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        task.cancel.soft.cancel();
        let never = std::future::pending::<Result<()>>();
        let error = bounded(&task, Duration::MAX, never).await.unwrap_err();
        assert_eq!(error.class, Class::Cancelled);
    }
}
