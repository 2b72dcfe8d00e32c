//! `/metrics`: unauthenticated, compressed if the client accepts it.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::compression::CompressionLayer;

use crate::platform::Platform;

pub fn route() -> Router<Arc<Platform>> {
    Router::new().route("/metrics", get(metrics)).layer(CompressionLayer::new())
}

async fn metrics(State(platform): State<Arc<Platform>>) -> Response {
    let pulse = platform.database.last_pulse();
    let is_up = pulse.is_some_and(|pulse| pulse.is_up);
    let is_usable = pulse.is_some_and(|pulse| pulse.is_usable());
    let (in_use, idle) = platform.database.connections();
    platform.metrics.record_database(is_up, is_usable, in_use, idle);
    match platform.metrics.exposition() {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!("failed to encode the metrics: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
