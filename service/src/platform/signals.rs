//! The signals that stop the process. As process 1 of a container it must install handlers, because the
//! kernel applies no default action to it.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Kubernetes sends SIGTERM, a terminal sends SIGINT.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
