//! A report on another thread: the run's owner hands over events and never waits for a terminal.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::Report;
use crate::{console::Lane, task::Event};

pub struct Queued<R> {
    lane: Lane,
    /// Only the lane's jobs lock it, one after the other.
    report: Arc<Mutex<R>>,
}

impl<R: Report + 'static> Queued<R> {
    pub fn new(lane: &Lane, report: R) -> Self {
        Self { lane: lane.clone(), report: Arc::new(Mutex::new(report)) }
    }

    fn job(&self, work: impl FnOnce(&mut R) + Send + 'static) -> impl FnOnce() + Send + 'static {
        let report = self.report.clone();
        move || work(&mut report.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<R: Report + 'static> Report for Queued<R> {
    fn event(&mut self, at: Timestamp, event: &Event) {
        let progress = matches!(event, Event::StepProgress { .. });
        let event = event.clone();
        let job = self.job(move |report| report.event(at, &event));
        // Progress may be lost while the terminal is stopped; a verdict may not.
        if progress { self.lane.offer(job) } else { self.lane.push(job) }
    }

    fn tick(&mut self, at: Timestamp) {
        self.lane.offer(self.job(move |report| report.tick(at)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A terminal that is stopped until the sender is dropped.
    struct Stopped(mpsc::Receiver<()>, mpsc::Sender<Event>);

    impl Report for Stopped {
        fn event(&mut self, _at: Timestamp, event: &Event) {
            self.0.recv().ok();
            self.1.send(event.clone()).unwrap();
        }

        fn tick(&mut self, _at: Timestamp) {}
    }

    #[test]
    fn an_event_returns_while_the_terminal_is_stopped_and_is_shown_later() {
        let (start, stopped) = mpsc::channel();
        let (show, shown) = mpsc::channel();
        let mut report = Queued::new(&Lane::start(), Stopped(stopped, show));
        let event = Event::Interrupted { forced: false };
        report.event(Timestamp::UNIX_EPOCH, &event);
        report.tick(Timestamp::UNIX_EPOCH);
        assert!(shown.try_recv().is_err());
        drop(start);
        assert_eq!(shown.recv(), Ok(event));
    }
}
