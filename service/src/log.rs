//! Logs: one JSON object per line on standard error, where the legacy service wrote its lines too.

use tracing::Level;
use tracing_subscriber::fmt;

use crate::environment::{Environment, Problems};

/// Starts logging at `LOG_LEVEL` (default: info). Panics are logged as JSON lines as well.
pub fn start(environment: &Environment) {
    let mut problems = Problems::new();
    let level =
        environment.parse("LOG_LEVEL", Level::INFO, "error, warn, info, debug or trace", &mut problems);
    let subscriber = fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .finish();
    tracing::subscriber::set_global_default(subscriber).expect("logging is started once, by main");
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, reason = panic.payload_as_str(), "panic");
    }));
    for problem in problems {
        tracing::warn!("{problem}; logging at info");
    }
}
