//! `/livez`, `/readyz` and `/startupz`. `?verbose` lists the checks as the Kubernetes API server does.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;

use crate::platform::Platform;
use crate::platform::database::Pulse;

pub fn routes() -> Router<Arc<Platform>> {
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).route("/startupz", get(startupz))
}

/// Passes while the process answers. Checks nothing else, or a database outage would restart every pod.
async fn livez(query: RawQuery) -> Response {
    answer("livez", &query, &[])
}

/// Passes while the process is admitted, it is not draining, and the database is usable, or has not been unusable for long.
async fn readyz(State(platform): State<Arc<Platform>>, query: RawQuery) -> Response {
    let database = is_ready(&platform.database.pulse().await, Instant::now(), platform.readiness_grace);
    let lifecycle = &platform.lifecycle;
    let checks = [
        ("database", database),
        ("admission", lifecycle.is_admitted()),
        ("shutdown", !lifecycle.is_draining()),
    ];
    answer("readyz", &query, &checks)
}

/// Passes permanently once the database has been usable: it has answered, contains the schema and accepts writes,
/// and the process is admitted.
async fn startupz(State(platform): State<Arc<Platform>>, query: RawQuery) -> Response {
    let has_started = platform.database.pulse().await.last_usable.is_some();
    let checks = [("database", has_started), ("admission", platform.lifecycle.is_admitted())];
    answer("startupz", &query, &checks)
}

/// A process that has never had a usable database is not ready. One that has stays ready for `grace`: all pods share the
/// database, and a failover must not take all of them out of the load balancer. Payments answer 503 meanwhile.
fn is_ready(pulse: &Pulse, now: Instant, grace: Duration) -> bool {
    pulse.is_usable() || pulse.last_usable.is_some_and(|usable| now.saturating_duration_since(usable) < grace)
}

fn answer(probe: &str, RawQuery(query): &RawQuery, checks: &[(&str, bool)]) -> Response {
    let passed = checks.iter().all(|(_, passed)| *passed);
    let status = if passed { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let is_verbose = query
        .as_deref()
        .is_some_and(|query| query.split('&').any(|word| word == "verbose" || word.starts_with("verbose=")));
    let text = if passed && !is_verbose { "ok".to_owned() } else { report(probe, checks, passed) };
    super::text(status, text)
}

fn report(probe: &str, checks: &[(&str, bool)], passed: bool) -> String {
    let mut text = String::new();
    for (check, passed) in checks {
        let line = if *passed { format!("[+]{check} ok") } else { format!("[-]{check} failed") };
        writeln!(text, "{line}").expect("writing to a String cannot fail");
    }
    let verdict = if passed { "passed" } else { "failed" };
    writeln!(text, "{probe} check {verdict}").expect("writing to a String cannot fail");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_mins(1);

    fn pulse(is_up: bool, is_writable: bool, last_usable: Option<Instant>) -> Pulse {
        Pulse { is_up, is_writable, latency: Duration::ZERO, last_usable }
    }

    #[test]
    fn a_process_that_never_had_a_usable_database_is_not_ready() {
        let now = Instant::now();
        assert!(!is_ready(&pulse(false, false, None), now, GRACE));
        assert!(!is_ready(&pulse(true, false, None), now, GRACE));
        assert!(is_ready(&pulse(true, true, Some(now)), now, GRACE));
    }

    #[test]
    fn a_missing_or_read_only_database_makes_it_unready_after_a_minute() {
        let usable = Instant::now();
        for is_up in [false, true] {
            let pulse = pulse(is_up, false, Some(usable));
            assert!(is_ready(&pulse, usable + Duration::from_secs(59), GRACE));
            assert!(!is_ready(&pulse, usable + Duration::from_secs(60), GRACE));
        }
    }
}
