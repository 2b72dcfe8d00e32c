//! `/livez`, `/readyz` and `/startupz`. `?verbose` lists the checks as the Kubernetes API server does.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;

use super::{App, reply};

pub fn routes() -> Router<Arc<App>> {
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).route("/startupz", get(startupz))
}

/// Passes while the process answers. Checks nothing else, or a database outage would restart every pod.
async fn livez(query: RawQuery) -> Response {
    answer("livez", &query, &[])
}

/// Passes while the database answers and the process is not draining.
async fn readyz(State(app): State<Arc<App>>, query: RawQuery) -> Response {
    let database = app.database.pulse().await.is_up;
    if database {
        app.lifecycle.mark_started();
    }
    answer("readyz", &query, &[("database", database), ("shutdown", !app.lifecycle.is_draining())])
}

/// Passes permanently once the database has answered and contains the schema.
async fn startupz(State(app): State<Arc<App>>, query: RawQuery) -> Response {
    if !app.lifecycle.has_started() && app.database.pulse().await.is_up {
        app.lifecycle.mark_started();
    }
    answer("startupz", &query, &[("database", app.lifecycle.has_started())])
}

fn answer(probe: &str, RawQuery(query): &RawQuery, checks: &[(&str, bool)]) -> Response {
    let passed = checks.iter().all(|(_, passed)| *passed);
    let status = if passed { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let is_verbose = query
        .as_deref()
        .is_some_and(|query| query.split('&').any(|word| word == "verbose" || word.starts_with("verbose=")));
    let text = if passed && !is_verbose { "ok".to_owned() } else { report(probe, checks, passed) };
    reply::text(status, text)
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
