//! The vocabulary of a run (ids, events, verdicts, error classes), and what every step needs whatever it does: its
//! log, its events, waiting, retries and cancellation.

mod claim;
mod error;
mod event;
mod fence;
mod id;
pub mod retry;
#[cfg(test)]
pub mod testing;

use std::{future::Future, path::PathBuf, time::Duration};

use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use claim::{Claim, Claims};
pub use error::{Class, Error, ErrorExt, Result, causes, write_fix};
pub use event::{Action, Event, Orphan, PlannedStep, Remaining, Verdict};
pub use fence::{Fence, KILLED_AFTER, MARGIN, Place, since_boot};
pub use id::{BadRegionName, Phase, RegionName, RunId, StepId, is_name};

/// By how much an outage prolongs a wait: as long as a step that fails is retried.
const OUTAGE: Duration = Duration::from_mins(10);

/// Two stages of stopping: `soft` ends at the next safe point (a child gets one SIGINT), `hard` ends now.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    pub soft: CancellationToken,
    pub hard: CancellationToken,
}

/// An event on its way to the run's owner, and the sender to acknowledge once it is on disk.
pub struct Message {
    pub event: Event,
    pub recorded: Option<tokio::sync::oneshot::Sender<Result<()>>>,
}

/// Where events go: to the run's owner, the only one that writes the journal and the terminal.
#[derive(Debug, Clone)]
pub struct Events {
    sender: tokio::sync::mpsc::UnboundedSender<Message>,
    /// For tests without an owner: nobody would acknowledge.
    #[cfg(test)]
    unowned: bool,
}

impl Events {
    pub fn channel() -> (Self, tokio::sync::mpsc::UnboundedReceiver<Message>) {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        let events = Self {
            sender,
            #[cfg(test)]
            unowned: false,
        };
        (events, receiver)
    }

    /// Events that count as recorded when they are sent.
    #[cfg(test)]
    pub fn unowned() -> (Self, tokio::sync::mpsc::UnboundedReceiver<Message>) {
        let (events, receiver) = Self::channel();
        (Self { unowned: true, ..events }, receiver)
    }

    /// Sends an event.
    pub fn send(&self, event: Event) {
        // The owner outlives every step. If it was dropped, the process is ending and the event is not needed.
        drop(self.sender.send(Message { event, recorded: None }));
    }

    /// Sends an event and waits until it is on disk.
    ///
    /// # Errors
    /// When the journal cannot be written: then the effect must not start.
    pub async fn record(&self, event: Event) -> Result<()> {
        #[cfg(test)]
        if self.unowned {
            self.send(event);
            return Ok(());
        }
        let (recorded, done) = tokio::sync::oneshot::channel();
        drop(self.sender.send(Message { event, recorded: Some(recorded) }));
        done.await.unwrap_or_else(|_| {
            Err(Error::permanent("failed to write the run's journal, so no new effect is started").with_hint(
                "the run ends with the journal's own error: fix that, then run the same command again",
            ))
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
    pub claims: Claims,
    /// Whether the run may still act.
    pub fence: Fence,
    /// What ends in the background after the step was dropped: the run waits for it.
    pub ending: TaskTracker,
}

/// The result of checking a condition.
pub enum Poll<T> {
    Ready(T),
    /// Not yet, and what is missing.
    Pending(String),
}

impl Task {
    /// Reports what the step is doing.
    pub fn progress(&self, text: impl Into<String>) {
        self.emit(Event::StepProgress {
            step: self.step.clone(),
            text: text.into(),
            done: None,
            total: None,
        });
    }

    /// Reports what the step is doing and how far it is.
    pub fn count(&self, done: u32, total: u32, text: impl Into<String>) {
        let (done, total) = (Some(done), Some(total));
        self.emit(Event::StepProgress { step: self.step.clone(), text: text.into(), done, total });
    }

    /// Reports something that does not stop this run but may stop a later one.
    pub fn warn(&self, warning: impl Into<String>, fix: impl Into<String>) {
        let (warning, fix) = (warning.into(), fix.into());
        self.emit(Event::StepWarned { step: self.step.clone(), warning, fix });
    }

    /// Where the step acts.
    pub fn place(&self) -> Place<'_> {
        Place::Region(self.step.region.as_ref())
    }

    pub fn emit(&self, event: Event) {
        self.events.send(event);
    }

    /// Records what the step is about to hold or create, so that a later run can repair it.
    ///
    /// # Errors
    /// When it cannot be recorded: then the effect must not start.
    pub async fn claim(&self, claim: &Claim) -> Result<()> {
        let recorded =
            self.events.record(Event::Claimed { step: self.step.clone(), claim: claim.clone() }).await;
        match &recorded {
            Ok(()) => self.claims.insert(claim.clone()),
            // It may be in the journal, but nothing will come of it.
            Err(_) => self.release(claim),
        }
        recorded
    }

    /// Reports that a claim needs no repair any more.
    pub fn release(&self, claim: &Claim) {
        self.claims.remove(claim);
        self.emit(Event::Released { step: self.step.clone(), claim: claim.clone() });
    }

    /// Calls `check` at an interval until it is ready.
    ///
    /// Transient errors count as "not yet"; all others end the wait. What is missing is reported when it changes. The
    /// time in which `check` fails does not count, up to [`OUTAGE`]: an API server that is down for some minutes says
    /// nothing about the pods that it would report.
    ///
    /// # Errors
    /// When `deadline` has passed, with what was missing last; when cancelled.
    pub async fn wait<T, F, Fut>(
        &self,
        what: &str,
        every: Duration,
        deadline: Duration,
        mut check: F,
    ) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<Poll<T>>>,
    {
        let started = Instant::now();
        let (mut end, latest) = (started + deadline, started + deadline + OUTAGE);
        let (mut missing, mut fix, mut reported) = (String::new(), None, None);
        loop {
            let asked = Instant::now();
            // A check may also change something. While the run may not act, that is an outage.
            let checked = async {
                self.fence.pass(self.place())?;
                check().await
            };
            let result = tokio::select! {
                // A check that hangs in an outage fails by its client's own timeout, and then prolongs the wait.
                result = tokio::time::timeout_at(latest, checked) => result,
                () = self.cancel.soft.cancelled() => return Err(Error::cancelled()),
            };
            match result {
                Ok(Ok(Poll::Ready(value))) => return Ok(value),
                Ok(Ok(Poll::Pending(why))) => (missing, fix) = (why, None),
                Ok(Err(error)) if error.class == Class::Transient => {
                    (missing, fix) = (error.to_string(), error.hint);
                    end = (end + asked.elapsed() + every).min(latest);
                }
                Ok(Err(error)) => return Err(error),
                // The deadline passed during the check: what was missing before is still the best description.
                Err(_) => {}
            }
            if Instant::now() + every >= end {
                let waited = jiff::SignedDuration::from_secs((end - started).as_secs().cast_signed());
                let missing = if missing.is_empty() { String::new() } else { format!(": {missing}") };
                let timeout = format!("timed out waiting for {what} after {waited:#}{missing}");
                return Err(Error { hint: fix, ..Error::permanent(timeout) });
            }
            if reported.as_ref() != Some(&missing) {
                self.progress(format!("waiting for {what}: {missing}"));
                reported = Some(missing.clone());
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
    async fn a_wait_reports_what_is_missing_when_that_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (task, mut events) = testing::task(dir.path());
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
        while let Some(Event::StepProgress { text, .. }) = events.recv().await {
            texts.push(text);
        }
        assert_eq!(texts, ["waiting for pods: a", "waiting for pods: b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_times_out_names_what_was_missing_last() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let never = || async { Ok(Poll::<()>::Pending("two of three".to_owned())) };
        let error =
            task.wait("pods", Duration::from_secs(1), Duration::from_secs(90), never).await.unwrap_err();
        assert_eq!(error.to_string(), "timed out waiting for pods after 1m 30s: two of three");
        assert_eq!(error.hint, None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_of_some_minutes_does_not_end_a_shorter_wait() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let started = tokio::time::Instant::now();
        let check = || async move {
            match started.elapsed().as_secs() {
                10..250 => Err(Error::transient("connection refused")),
                300.. => Ok(Poll::Ready(())),
                _ => Ok(Poll::Pending("no pods".to_owned())),
            }
        };
        task.wait("pods", Duration::from_secs(1), Duration::from_secs(90), check).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_in_which_a_check_hangs_until_its_own_timeout_does_not_end_a_shorter_wait() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let mut hung = false;
        let check = || {
            let hangs = !std::mem::replace(&mut hung, true);
            async move {
                if hangs {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    return Err(Error::transient("timed out"));
                }
                Ok(Poll::Ready(()))
            }
        };
        task.wait("pods", Duration::from_secs(1), Duration::from_secs(60), check).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_times_out_keeps_the_fix_of_the_last_error() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let refused = || async { Err::<Poll<()>, _>(Error::transient("refused").with_hint("be let in")) };
        let error =
            task.wait("pods", Duration::from_secs(1), Duration::from_secs(90), refused).await.unwrap_err();
        assert_eq!(error.to_string(), "timed out waiting for pods after 11m 30s: refused");
        assert_eq!((error.class, error.hint.as_deref()), (Class::Permanent, Some("be let in")));
    }
}
