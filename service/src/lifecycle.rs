//! The lifecycle of the process: starting, started, draining.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;

#[derive(Debug)]
pub struct Lifecycle {
    /// Work that is finished even if its client goes away. The process waits for it before it stops.
    pub work: TaskTracker,
    created: Instant,
    started: AtomicBool,
    draining: AtomicBool,
}

impl Lifecycle {
    pub fn new() -> Self {
        Self {
            work: TaskTracker::new(),
            created: Instant::now(),
            started: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        }
    }

    pub fn uptime(&self) -> Duration {
        self.created.elapsed()
    }

    /// Once true, it stays true: a database outage makes a pod unready, but must not fail its startup probe.
    pub fn has_started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    pub fn mark_started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub fn mark_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}
