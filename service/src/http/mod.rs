//! The routes and the middleware around them.

mod authentication;
mod conformance;
mod legacy;
mod limits;
mod paths;
mod reply;
pub mod v1;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;

use self::v1::V1;
use crate::api_keys::ApiKeys;
use crate::metrics::Metrics;
use crate::platform::Platform;
use crate::platform::http::{exposition, observe, probes};
use crate::settings::{HealthPolicy, Simulation};

/// The state shared by all request handlers.
pub struct App {
    pub platform: Arc<Platform>,
    pub region: String,
    pub environment: String,
    pub simulation: Simulation,
    pub health: HealthPolicy,
    pub keys: ApiKeys,
    pub metrics: Metrics,
    pub v1: Arc<V1>,
}

/// The API, behind the legacy service's understanding of paths. It has to come before the routes, so they are inside of a
/// router that has none.
pub fn api(app: &Arc<App>, request_timeout: Duration, others: Router) -> Router {
    let routes = routes(app, request_timeout).merge(others);
    Router::new().fallback_service(routes).layer(middleware::from_fn(paths::normalize))
}

/// The routes. The load balancer asks this port for `/readyz`, because it must not send requests to a port that does not
/// answer. Its probes are neither counted nor logged.
fn routes(app: &Arc<App>, request_timeout: Duration) -> Router {
    let simulate = get(legacy::simulate)
        .layer(middleware::from_fn_with_state(Arc::clone(app), authentication::require_key));
    Router::new()
        .route("/health", get(legacy::health))
        .route("/info", get(legacy::info))
        .route("/api/payment/simulate", simulate)
        .fallback(reply::not_found)
        .method_not_allowed_fallback(reply::method_not_allowed)
        // Each layer wraps the ones above it: the last one sees every response, including those of a timeout.
        .layer(middleware::from_fn(limits::body))
        .layer(middleware::from_fn_with_state(request_timeout, limits::time))
        .layer(CatchPanicLayer::custom(limits::panicked))
        .with_state(Arc::clone(app))
        .nest("/v1", v1::routes(&app.v1, request_timeout))
        .layer(middleware::from_fn(conformance::require_host))
        .layer(middleware::from_fn_with_state(Arc::clone(&app.platform), observe::observe))
        .merge(probes::routes().with_state(Arc::clone(&app.platform)))
}

/// Probes and `/metrics`, for a listener that clients of the API cannot reach or fill. Not counted, as in the legacy
/// service.
pub fn inner(app: &Arc<App>) -> Router {
    exposition::route()
        .merge(probes::routes())
        .fallback(reply::not_found)
        .method_not_allowed_fallback(reply::method_not_allowed)
        .with_state(Arc::clone(&app.platform))
}

/// `/metrics` beside the API, for the legacy layout with one port.
pub fn metrics(app: &Arc<App>) -> Router {
    exposition::route().with_state(Arc::clone(&app.platform))
}
