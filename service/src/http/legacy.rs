//! The legacy service's routes: the same keys in the same order, latencies as strings with two decimals.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;

use super::{App, reply};
use crate::cli::VERSION;
use crate::platform::http::observe::RequestId;
use crate::settings::{HealthPolicy, Simulation};
use crate::simulation;

#[derive(Serialize)]
struct Health<'a> {
    status: &'a str,
    region: &'a str,
    latency_ms: String,
    database: &'a str,
    timestamp: String,
    environment: &'a str,
    uptime_seconds: u64,
}

#[derive(Serialize)]
struct Info<'a> {
    name: &'a str,
    version: &'a str,
    region: &'a str,
    environment: &'a str,
    timestamp: String,
}

#[derive(Serialize)]
struct Receipt<'a> {
    transaction_id: String,
    status: &'a str,
    processing_time_ms: String,
    region: &'a str,
    timestamp: String,
}

/// `latency_ms` is that of a database statement, measured at most a second ago.
pub async fn health(State(app): State<Arc<App>>) -> Response {
    let pulse = app.platform.database.pulse().await;
    let (code, status) = match app.health {
        HealthPolicy::WithDatabase if !pulse.is_up => (StatusCode::SERVICE_UNAVAILABLE, "degraded"),
        _ => (StatusCode::OK, "healthy"),
    };
    let body = Health {
        status,
        region: &app.region,
        latency_ms: milliseconds(pulse.latency),
        database: if pulse.is_up { "connected" } else { "unavailable" },
        timestamp: now(),
        environment: &app.environment,
        uptime_seconds: app.platform.lifecycle.uptime().as_secs(),
    };
    reply::json(code, &body)
}

pub async fn info(State(app): State<Arc<App>>) -> Response {
    let body = Info {
        name: "payment-latency-api",
        version: VERSION,
        region: &app.region,
        environment: &app.environment,
        timestamp: now(),
    };
    reply::json(StatusCode::OK, &body)
}

/// A payment is finished also when its client goes away: otherwise the client could not know whether it was made.
pub async fn simulate(State(app): State<Arc<App>>, Extension(request_id): Extension<RequestId>) -> Response {
    let work = app.platform.lifecycle.work.spawn(pay(Arc::clone(&app), request_id));
    match work.await {
        Ok(response) => response,
        Err(error) => match error.try_into_panic() {
            // Answered as a panic of this handler would be.
            Ok(panic) => std::panic::resume_unwind(panic),
            // Cancelled, which happens only when the process ends.
            Err(_) => reply::unavailable("{\"error\": \"Shutting down\"}\n"),
        },
    }
}

async fn pay(app: Arc<App>, request_id: RequestId) -> Response {
    let started = Instant::now();
    let outcome = match app.simulation {
        Simulation::Database => simulation::store(&app.platform.database, &app.region).await,
        Simulation::LegacyLatency => Ok(simulation::sleep(&app.region).await),
    };
    let payment = match outcome {
        Ok(payment) => payment,
        Err(error) => {
            tracing::error!(request_id = request_id.as_str(), "payment failed: {error}");
            return reply::unavailable("{\"error\": \"Database unavailable\"}\n");
        }
    };
    let took = started.elapsed();
    app.metrics.record_payment(took);
    let transaction_id = payment.transaction_id();
    tracing::info!(
        request_id = request_id.as_str(),
        transaction_id,
        "✅ Payment processed in {took:?} (region: {})",
        payment.region
    );
    let body = Receipt {
        transaction_id,
        status: &payment.status,
        processing_time_ms: milliseconds(took),
        region: &payment.region,
        timestamp: now(),
    };
    reply::json(StatusCode::OK, &body)
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1000.0)
}

/// RFC 3339 in UTC, with the fraction that the clock gives and no trailing zeros, as in Go.
fn now() -> String {
    Timestamp::now().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_have_two_decimals() {
        assert_eq!(milliseconds(Duration::from_micros(90_353)), "90.35");
        assert_eq!(milliseconds(Duration::ZERO), "0.00");
    }

    #[test]
    fn a_timestamp_has_no_trailing_zeros() {
        let time = Timestamp::new(1_795_299_048, 379_400_000).unwrap();
        assert_eq!(time.to_string(), "2026-11-21T22:10:48.3794Z");
        assert_eq!(Timestamp::from_second(1_795_299_048).unwrap().to_string(), "2026-11-21T22:10:48Z");
    }
}
