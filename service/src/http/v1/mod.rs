//! The payment API.

mod input;
mod payments;
mod problem;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

use self::problem::Problem;
use crate::accounts::Accounts;
use crate::flow::Payments;
use crate::platform::Platform;
use crate::residency::Residency;

/// The state of these routes.
pub struct V1 {
    pub platform: Arc<Platform>,
    pub payments: Arc<Payments>,
    pub accounts: Arc<Accounts>,
    pub residency: Arc<Residency>,
    pub region: String,
}

/// The routes below `/v1`.
pub fn routes(v1: &Arc<V1>, request_timeout: Duration) -> Router {
    Router::new()
        .route("/payments", get(payments::list).post(payments::create))
        .route("/payments/{id}", get(payments::one))
        .route("/payments/{id}/events", get(payments::events))
        .route("/payments/{id}/capture", post(payments::capture))
        .route("/payments/{id}/void", post(payments::void))
        .route("/payments/{id}/refunds", get(payments::refunds).post(payments::refund))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(middleware::from_fn_with_state(request_timeout, time))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(problem::finish))
        .with_state(Arc::clone(v1))
}

/// Answers 503 after `limit`. What is under way is still finished.
async fn time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(limit, next.run(request)).await;
    answer.unwrap_or_else(|_| Problem::timed_out().into_response())
}

/// The panic itself has been logged by the panic hook.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    Problem::internal().into_response()
}
