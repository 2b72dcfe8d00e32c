//! Logs: one JSON object per line on standard error, where the legacy service wrote its lines too.
//!
//! A dedicated thread writes them. If standard error is not read, as with a container runtime that hangs, lines are
//! lost and counted, and the service goes on.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::Level;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt;

use crate::platform::environment::{Environment, Problems};

/// Lines that wait for being written. A line has some 250 bytes.
const WAITING_LINES: usize = 1024;

/// Counts the lines that were not written.
#[derive(Clone)]
pub struct LostLines {
    /// Because too many were waiting.
    dropped: ErrorCounter,
    /// Because standard error is broken.
    refused: Arc<AtomicU64>,
}

impl LostLines {
    /// Those of a log that writes nothing.
    #[cfg(test)]
    pub fn none() -> Self {
        let (lines, _writer) = NonBlockingBuilder::default().finish(io::sink());
        Self { dropped: lines.error_counter(), refused: Arc::default() }
    }

    pub fn count(&self) -> u64 {
        let dropped = u64::try_from(self.dropped.dropped_lines()).unwrap_or(u64::MAX);
        dropped.saturating_add(self.refused.load(Ordering::Relaxed))
    }
}

/// Writes whole lines, and counts those that cannot be written.
struct Counting<W> {
    output: W,
    refused: Arc<AtomicU64>,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.output.write_all(line).is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// The started log. Writes the lines that are waiting when it is dropped, for at most a second.
pub struct Log {
    lost: LostLines,
    _writer: WorkerGuard,
}

impl Log {
    /// Starts logging at `LOG_LEVEL` (default: info). Panics are logged as JSON lines as well.
    pub fn start(environment: &Environment) -> Self {
        let mut problems = Problems::new();
        let level =
            environment.parse("LOG_LEVEL", Level::INFO, "error, warn, info, debug or trace", &mut problems);
        let refused = Arc::<AtomicU64>::default();
        let (lines, writer) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(WAITING_LINES)
            .thread_name("log")
            .finish(Counting { output: io::stderr(), refused: Arc::clone(&refused) });
        let lost = LostLines { dropped: lines.error_counter(), refused };
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
    pub fn lost_lines(&self) -> LostLines {
        self.lost.clone()
    }
}
