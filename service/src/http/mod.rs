//! The routes and the middleware around them.

mod authentication;
mod exposition;
mod legacy;
mod observe;
mod probes;
mod reply;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use crate::api_keys::ApiKeys;
use crate::database::Database;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::settings::{HealthPolicy, Simulation};

/// In bytes. No route reads a body, so this only limits what a client can send.
const BODY_LIMIT: usize = 16 * 1024;

/// The state shared by all request handlers.
pub struct App {
    pub region: String,
    pub environment: String,
    pub simulation: Simulation,
    pub health: HealthPolicy,
    pub keys: ApiKeys,
    pub database: Arc<Database>,
    pub metrics: Metrics,
    pub lifecycle: Lifecycle,
}

/// The API and its probes.
pub fn api(app: &Arc<App>, request_timeout: Duration) -> Router {
    let simulate = get(legacy::simulate)
        .layer(middleware::from_fn_with_state(Arc::clone(app), authentication::require_key));
    Router::new()
        .route("/health", get(legacy::health))
        .route("/info", get(legacy::info))
        .route("/api/payment/simulate", simulate)
        .route("/livez", get(probes::livez))
        .route("/readyz", get(probes::readyz))
        .route("/startupz", get(probes::startupz))
        .fallback(reply::not_found)
        .method_not_allowed_fallback(reply::method_not_allowed)
        // Each layer wraps the ones above it: the last one sees every response, including those of a timeout.
        .layer(RequestBodyLimitLayer::new(BODY_LIMIT))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, request_timeout))
        .layer(CatchPanicLayer::new())
        .layer(middleware::from_fn_with_state(Arc::clone(app), observe::observe))
        .with_state(Arc::clone(app))
}

/// `/metrics`. Its requests are not counted, as in the legacy service.
pub fn metrics(app: &Arc<App>) -> Router {
    exposition::route().with_state(Arc::clone(app))
}
