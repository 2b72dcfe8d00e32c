//! The lifecycle of the process: running, draining.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;

#[derive(Debug)]
pub struct Lifecycle {
    /// Work that is finished even if its client goes away. The process waits for it before it stops.
    pub work: TaskTracker,
    created: Instant,
    draining: AtomicBool,
}

impl Lifecycle {
    pub fn new() -> Self {
        Self { work: TaskTracker::new(), created: Instant::now(), draining: AtomicBool::new(false) }
    }

    pub fn uptime(&self) -> Duration {
        self.created.elapsed()
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub fn mark_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}
