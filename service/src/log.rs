//! Logs: one JSON object per line on standard error, where the legacy service wrote its lines too.
//!
//! A dedicated thread writes them. If standard error is not read, as with a container runtime that hangs, lines are
//! lost and counted, and the service goes on.

use tracing::Level;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt;

use crate::environment::{Environment, Problems};

/// Lines that wait for being written. A line has some 250 bytes.
const WAITING_LINES: usize = 1024;

/// The started log. Writes the lines that are waiting when it is dropped, for at most a second.
pub struct Log {
    lost: ErrorCounter,
    _writer: WorkerGuard,
}

impl Log {
    /// Starts logging at `LOG_LEVEL` (default: info). Panics are logged as JSON lines as well.
    pub fn start(environment: &Environment) -> Self {
        let mut problems = Problems::new();
        let level =
            environment.parse("LOG_LEVEL", Level::INFO, "error, warn, info, debug or trace", &mut problems);
        let (lines, writer) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(WAITING_LINES)
            .thread_name("log")
            .finish(std::io::stderr());
        let lost = lines.error_counter();
        let subscriber = fmt()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_max_level(level)
            .with_writer(lines)
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("logging is started once, by main");
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string);
            tracing::error!(place, reason = panic.payload_as_str(), "panic");
        }));
        for problem in problems {
            tracing::warn!("{problem}; logging at info");
        }
        Self { lost, _writer: writer }
    }

    /// Counts the lines that were lost.
    pub fn lost_lines(&self) -> ErrorCounter {
        self.lost.clone()
    }
}
