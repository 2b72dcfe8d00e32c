//! Limits of a request, and the API's own answers when one is exceeded.

use std::any::Any;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::Next;
use axum::response::Response;

use super::reply;

/// In bytes. No route reads a body, so a client that announces a large one has something else in mind.
const BODY_LIMIT: u64 = 16 * 1024;

/// Refuses a request that announces a large body. The connection is closed, because its body is not read.
pub async fn body(request: Request, next: Next) -> Response {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|bytes: u64| bytes > BODY_LIMIT) {
        return reply::error(StatusCode::PAYLOAD_TOO_LARGE, "{\"error\": \"Request body too large\"}\n");
    }
    next.run(request).await
}

/// Answers 503 after `limit`. A payment that is under way is still finished.
pub async fn time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(limit, next.run(request)).await;
    answer.unwrap_or_else(|_| reply::unavailable("{\"error\": \"Request timed out\"}\n"))
}

/// The panic itself has been logged by the panic hook.
pub fn panicked(_: Box<dyn Any + Send>) -> Response {
    reply::error(StatusCode::INTERNAL_SERVER_ERROR, "{\"error\": \"Internal server error\"}\n")
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use http_body_util::BodyExt;
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered_in_the_apis_form() {
        async fn broken() -> &'static str {
            panic!("a bug");
        }
        let router: Router = Router::new().route("/", get(broken)).layer(CatchPanicLayer::custom(panicked));
        let response = router.oneshot(Request::<Body>::default()).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], "application/json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "{\"error\": \"Internal server error\"}\n");
    }
}
