//! The words of a run, and what works for one step of it without knowing what the step is about: its id, its
//! log, its events, how it fails, how it is stopped.

mod error;
mod event;
mod id;
pub mod retry;
#[cfg(test)]
pub mod testing;

use std::{future::Future, path::PathBuf, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use error::{Class, Error, ErrorExt, Result};
pub use event::{Action, Event, PlannedStep, Verdict};
pub use id::{BadRegionName, Phase, RegionName, RunId, StepId, is_name};

/// Two stages of stopping: `soft` ends at the next safe point (a child gets one SIGINT), `hard` ends now.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    pub soft: CancellationToken,
    pub hard: CancellationToken,
}

/// An event on its way to the run's owner, and who waits until it is on disk.
pub struct Message {
    pub event: Event,
    pub recorded: Option<tokio::sync::oneshot::Sender<()>>,
}

/// Where events go. The receiver is the run's owner: it alone writes the journal and the terminal.
#[derive(Debug, Clone)]
pub struct Events(tokio::sync::mpsc::UnboundedSender<Message>);

impl Events {
    pub fn channel() -> (Self, tokio::sync::mpsc::UnboundedReceiver<Message>) {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Tells what happened.
    pub fn send(&self, event: Event) {
        // the owner outlives every step; when it is gone, so is whoever would read this
        drop(self.0.send(Message { event, recorded: None }));
    }

    /// Tells what is about to happen and waits until the journal holds it.
    ///
    /// # Errors
    /// When the journal cannot be written: then nothing may be begun.
    pub async fn record(&self, event: Event) -> Result<()> {
        let (recorded, done) = tokio::sync::oneshot::channel();
        drop(self.0.send(Message { event, recorded: Some(recorded) }));
        done.await.map_err(|_| {
            Error::permanent("failed to write the run's journal, so nothing new is begun")
                .with_hint("make room on the disk that holds `.paydeploy`, then run the same command again")
        })
    }
}

/// One step's view of its run.
#[derive(Clone)]
pub struct Task {
    pub step: StepId,
    pub cancel: Cancel,
    /// The step's log file: children write to it, and a failure names it.
    pub log: PathBuf,
    pub events: Events,
}

/// What a look at a condition found.
pub enum Poll<T> {
    Ready(T),
    /// Not yet; what is missing.
    Pending(String),
}

impl Task {
    /// Tells what is under way.
    pub fn progress(&self, text: impl Into<String>) {
        self.emit(Event::StepProgress {
            step: self.step.clone(),
            text: text.into(),
            done: None,
            total: None,
        });
    }

    /// Tells what is under way and how far it is.
    pub fn count(&self, done: u32, total: u32, text: impl Into<String>) {
        let (done, total) = (Some(done), Some(total));
        self.emit(Event::StepProgress { step: self.step.clone(), text: text.into(), done, total });
    }

    /// Tells what does not stop this run and may stop what comes after it.
    pub fn warn(&self, warning: impl Into<String>, fix: impl Into<String>) {
        let (warning, fix) = (warning.into(), fix.into());
        self.emit(Event::StepWarned { step: self.step.clone(), warning, fix });
    }

    pub fn emit(&self, event: Event) {
        self.events.send(event);
    }

    /// Asks `look` again and again until it is ready.
    ///
    /// Transient errors count as "not yet"; all others end the wait. What is missing is told when it changes.
    ///
    /// # Errors
    /// When `deadline` has passed, with what was waited for and what the last look missed; when cancelled.
    pub async fn wait<T, F, Fut>(
        &self,
        what: &str,
        every: Duration,
        deadline: Duration,
        mut look: F,
    ) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<Poll<T>>>,
    {
        let end = Instant::now() + deadline;
        let (mut missing, mut fix, mut told) = (String::new(), None, None);
        loop {
            let seen = tokio::select! {
                seen = tokio::time::timeout_at(end, look()) => seen,
                () = self.cancel.soft.cancelled() => return Err(Error::cancelled()),
            };
            match seen {
                Ok(Ok(Poll::Ready(value))) => return Ok(value),
                Ok(Ok(Poll::Pending(why))) => (missing, fix) = (why, None),
                Ok(Err(error)) if error.class == Class::Transient => {
                    (missing, fix) = (error.to_string(), error.hint);
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => {}
            }
            if Instant::now() + every >= end {
                let waited = jiff::SignedDuration::try_from(deadline).unwrap_or_default();
                let missing = if missing.is_empty() { String::new() } else { format!(": {missing}") };
                let gave_up = format!("gave up waiting for {what} after {waited:#}{missing}");
                return Err(Error { hint: fix, ..Error::permanent(gave_up) });
            }
            if told.as_ref() != Some(&missing) {
                self.progress(format!("waits for {what}: {missing}"));
                told = Some(missing.clone());
            }
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = self.cancel.soft.cancelled() => return Err(Error::cancelled()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Class, Error, Event, Poll, testing};

    #[tokio::test(start_paused = true)]
    async fn a_wait_tells_what_is_missing_when_that_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (task, mut told) = testing::task(dir.path());
        let mut answers = ["a", "a", "b", "b"].into_iter();
        let second = Duration::from_secs(1);
        task.wait("pods", second, 60 * second, || {
            let answer = answers.next().map_or(Poll::Ready(()), |missing| Poll::Pending(missing.to_owned()));
            async { Ok(answer) }
        })
        .await
        .unwrap();
        drop(task);
        let mut texts = Vec::new();
        while let Some(Event::StepProgress { text, .. }) = told.recv().await {
            texts.push(text);
        }
        assert_eq!(texts, ["waits for pods: a", "waits for pods: b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_in_vain_tells_what_was_missing_last() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _told) = testing::task(dir.path());
        let never = || async { Ok(Poll::<()>::Pending("two of three".to_owned())) };
        let error =
            task.wait("pods", Duration::from_secs(1), Duration::from_secs(90), never).await.unwrap_err();
        assert_eq!(error.to_string(), "gave up waiting for pods after 1m 30s: two of three");
        assert_eq!(error.hint, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_in_vain_keeps_the_remedy_of_what_went_wrong_last() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _told) = testing::task(dir.path());
        let refused = || async { Err::<Poll<()>, _>(Error::transient("refused").with_hint("be let in")) };
        let error =
            task.wait("pods", Duration::from_secs(1), Duration::from_secs(90), refused).await.unwrap_err();
        assert_eq!(error.to_string(), "gave up waiting for pods after 1m 30s: refused");
        assert_eq!((error.class, error.hint.as_deref()), (Class::Permanent, Some("be let in")));
    }
}
