//! Which requests get a log line. Writing one costs more than answering most requests, and a flood of refused requests
//! must not fill the log's storage.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines per [`WINDOW`]. An API at its usual rate logs every request.
const LINES: u32 = 50;
const WINDOW: Duration = Duration::from_secs(1);

/// Admits every request that failed here, and of the others at most [`LINES`] per [`WINDOW`].
pub struct AccessLog(Mutex<Window>);

struct Window {
    start: Instant,
    lines: u32,
    skipped: u64,
}

impl AccessLog {
    pub fn new(now: Instant) -> Self {
        Self(Mutex::new(Window { start: now, lines: 0, skipped: 0 }))
    }

    /// Whether to write a line for a request with this status. Gives the number of requests since the last line that got
    /// none.
    pub fn admit(&self, status: u16, now: Instant) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(window.start) >= WINDOW {
            window.start = now;
            window.lines = 0;
        }
        if window.lines >= LINES && status < 500 {
            window.skipped += 1;
            return None;
        }
        window.lines = window.lines.saturating_add(1);
        Some(std::mem::take(&mut window.skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_sampled_and_the_next_line_says_how_many_are_missing() {
        let start = Instant::now();
        let log = AccessLog::new(start);
        let written = (0..1000).filter(|_| log.admit(403, start).is_some()).count();
        assert_eq!(written, 50);
        assert_eq!(log.admit(200, start + WINDOW), Some(950));
        assert_eq!(log.admit(200, start + WINDOW), Some(0));
    }

    #[test]
    fn a_failure_of_the_service_is_always_logged() {
        let start = Instant::now();
        let log = AccessLog::new(start);
        assert!((0..1000).all(|_| log.admit(503, start).is_some()));
    }
}
