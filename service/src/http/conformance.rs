//! What HTTP requires of a request and hyper does not check.

use axum::extract::Request;
use axum::http::header::{CONNECTION, HOST};
use axum::http::{HeaderValue, StatusCode, Version};
use axum::middleware::Next;
use axum::response::Response;

use super::reply;

/// Refuses an HTTP/1.1 request that does not have exactly one Host, with the legacy service's messages. Proxies in front
/// may route such a request differently than it is understood here.
pub async fn require_host(request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(HOST).iter();
    let problem = match (hosts.next(), hosts.next()) {
        (None, _) if request.version() == Version::HTTP_11 => "missing required Host header",
        (_, Some(_)) => "too many Host headers",
        _ => return next.run(request).await,
    };
    let mut response = reply::text(StatusCode::BAD_REQUEST, format!("400 Bad Request: {problem}"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
