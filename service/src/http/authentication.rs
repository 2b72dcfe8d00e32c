//! Checks `X-API-Key`. A missing key is 401 and a wrong one 403, with the legacy service's messages.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;

use super::{App, reply};

const HEADER: &str = "x-api-key";

pub async fn require_key(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let key = request.headers().get(HEADER).map_or(&[][..], |value| value.as_bytes());
    if key.is_empty() {
        return reply::error(StatusCode::UNAUTHORIZED, "{\"error\": \"Missing X-API-Key header\"}\n");
    }
    if !app.keys.accept(key) {
        return reply::error(StatusCode::FORBIDDEN, "{\"error\": \"Invalid API key\"}\n");
    }
    next.run(request).await
}
