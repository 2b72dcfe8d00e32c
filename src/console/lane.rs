//! A thread that does one stream's writing, so that nobody else waits for it.
//!
//! Invariants:
//!
//! - Jobs run in the order in which they were given, one at a time.
//! - Neither `push` nor `offer` ever blocks. The queue is bounded: what is offered is dropped while [`LIMIT`] jobs
//!   wait. What is pushed is never dropped; a run pushes a few events per step, so that this is bounded as well.
//! - The thread is a plain one, not one of tokio's: a write that never returns ends with the process.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

type Job = Box<dyn FnOnce() + Send>;

/// How many jobs may wait before progress is dropped: several screens, of which only the newest is interesting.
const LIMIT: usize = 256;

#[derive(Debug, Clone)]
pub struct Lane(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Whether a job runs.
    busy: bool,
    /// How many jobs have ended, to tell a slow reader from one that never reads.
    ended: u64,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A job that panicked has not touched the queue, so its state is still right.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    /// Starts the thread.
    pub fn start() -> Self {
        let lane = Self(Arc::default());
        let queue = lane.0.clone();
        thread::spawn(move || work(&queue));
        lane
    }

    /// Runs a job after those that wait.
    pub fn push(&self, job: impl FnOnce() + Send + 'static) {
        self.0.lock().waiting.push_back(Box::new(job));
        self.0.changed.notify_all();
    }

    /// The same, unless too many jobs wait: for progress, of which the next one says more.
    pub fn offer(&self, job: impl FnOnce() + Send + 'static) {
        let mut state = self.0.lock();
        if state.waiting.len() < LIMIT {
            state.waiting.push_back(Box::new(job));
            drop(state);
            self.0.changed.notify_all();
        }
    }

    /// Waits until all jobs have ended. Gives up and returns false after `patience` in which none has ended.
    pub fn flush(&self, patience: Duration) -> bool {
        let mut state = self.0.lock();
        loop {
            if state.waiting.is_empty() && !state.busy {
                return true;
            }
            let ended = state.ended;
            let stuck = |state: &mut State| state.ended == ended;
            let waited = self.0.changed.wait_timeout_while(state, patience, stuck);
            let (now, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() {
                return false;
            }
            state = now;
        }
    }
}

fn work(queue: &Queue) {
    let mut state = queue.lock();
    loop {
        let Some(job) = state.waiting.pop_front() else {
            state = queue.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        state.busy = true;
        drop(state);
        // A panic in a report must not silence the rest of the run. The hook has already printed it.
        drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)));
        state = queue.lock();
        state.busy = false;
        state.ended += 1;
        queue.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A lane whose terminal accepts nothing until the returned sender is dropped, and what it has written.
    fn stopped() -> (Lane, mpsc::Sender<()>, mpsc::Sender<String>, mpsc::Receiver<String>) {
        let lane = Lane::start();
        let (start, stopped) = mpsc::channel::<()>();
        let (write, written) = mpsc::channel();
        lane.push(move || {
            stopped.recv().ok();
        });
        (lane, start, write, written)
    }

    #[test]
    fn a_stopped_terminal_blocks_nobody_and_loses_progress_but_no_verdict() {
        let (lane, start, write, written) = stopped();
        for number in 0..2 * LIMIT {
            let write = write.clone();
            lane.offer(move || write.send(format!("progress {number}")).unwrap());
        }
        lane.push(move || write.send("verdict".to_owned()).unwrap());
        assert!(written.try_recv().is_err(), "nothing is written yet");
        drop(start);
        let lines: Vec<String> = written.iter().collect();
        assert!(lines.len() <= LIMIT + 1, "{} lines", lines.len());
        assert_eq!(lines.first().map(String::as_str), Some("progress 0"));
        assert_eq!(lines.last().map(String::as_str), Some("verdict"));
        assert!(lane.flush(Duration::from_secs(60)));
    }

    #[test]
    fn a_flush_gives_up_on_a_reader_that_never_reads() {
        let (lane, start, ..) = stopped();
        assert!(!lane.flush(Duration::from_millis(1)));
        drop(start);
        assert!(lane.flush(Duration::from_secs(60)));
    }

    #[test]
    fn a_panic_in_a_report_does_not_end_the_output() {
        let lane = Lane::start();
        let (write, written) = mpsc::channel();
        lane.push(|| panic!("a defect"));
        lane.push(move || write.send("next").unwrap());
        assert_eq!(written.recv(), Ok("next"));
    }
}
