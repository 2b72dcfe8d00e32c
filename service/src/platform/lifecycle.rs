//! The lifecycle of the process: starting, admitted, draining.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;

#[derive(Debug)]
pub struct Lifecycle {
    /// Work that is finished even if its client goes away. The process waits for it before it stops.
    pub work: TaskTracker,
    created: Instant,
    admitted: AtomicBool,
    draining: AtomicBool,
}

impl Lifecycle {
    pub fn new() -> Self {
        Self {
            work: TaskTracker::new(),
            created: Instant::now(),
            admitted: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        }
    }

    pub fn uptime(&self) -> Duration {
        self.created.elapsed()
    }

    /// Whether the service has made sure that it may serve at all.
    pub fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Relaxed)
    }

    pub fn admit(&self) {
        self.admitted.store(true, Ordering::Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub fn mark_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}
