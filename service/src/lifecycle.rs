//! Where the process is in its life: starting, started, draining.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct Lifecycle {
    began: Instant,
    started: AtomicBool,
    draining: AtomicBool,
}

impl Lifecycle {
    pub fn begin() -> Self {
        Self { began: Instant::now(), started: AtomicBool::new(false), draining: AtomicBool::new(false) }
    }

    pub fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    /// Once true, always true: a database that goes away later makes a pod unready, it does not unstart it.
    pub fn has_started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    pub fn note_started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}
