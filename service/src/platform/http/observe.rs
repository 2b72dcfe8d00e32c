//! Gives every request an id, metrics and a log line.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use uuid::Uuid;

use crate::platform::Platform;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// In bytes. The id is copied into every log line of the request, so longer ones are replaced.
const MAX_ID_LENGTH: usize = 128;
/// The endpoint label of requests that match no route.
const UNMATCHED: &str = "unmatched";

/// The client's `X-Request-Id`, or a generated one if it is missing or not plain.
#[derive(Clone)]
pub struct RequestId(HeaderValue);

impl RequestId {
    fn of(request: &Request, may_log: fn(&str) -> bool) -> Self {
        let given = request
            .headers()
            .get(REQUEST_ID)
            .filter(|value| is_plain(value.as_bytes()) && value.to_str().is_ok_and(may_log));
        Self(given.cloned().unwrap_or_else(|| {
            let mut text = Uuid::encode_buffer();
            HeaderValue::from_str(Uuid::now_v7().hyphenated().encode_lower(&mut text))
                .expect("a UUID is a valid header value")
        }))
    }

    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

pub async fn observe(State(platform): State<Arc<Platform>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let _counted = platform.metrics.enter();
    let id = RequestId::of(&request, platform.may_log);
    let method = method_label(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let endpoint = matched.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    request.extensions_mut().insert(id.clone());

    let mut response = next.run(request).await;

    let took = started.elapsed();
    let status = response.status();
    platform.metrics.record_request(method, endpoint, status.as_str(), took);
    // Monitoring asks for `/health` every few seconds. The metrics count it.
    let is_routine = status.is_success() && endpoint == "/health";
    if !is_routine && let Some(skipped) = platform.access_log.admit(status.as_u16(), started + took) {
        tracing::info!(
            request_id = id.as_str(),
            method,
            endpoint,
            status = status.as_u16(),
            duration_ms = took.as_secs_f64() * 1000.0,
            skipped = (skipped > 0).then_some(skipped),
            "request"
        );
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id.0);
    if platform.lifecycle.is_draining() {
        // Makes clients with keep-alive connections reconnect, which leads them to another pod.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A fixed set, so that clients cannot create new time series by inventing methods.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "TRACE" => "TRACE",
        "CONNECT" => "CONNECT",
        _ => "_OTHER",
    }
}

fn is_plain(id: &[u8]) -> bool {
    !id.is_empty()
        && id.len() <= MAX_ID_LENGTH
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:=+/".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invented_method_creates_no_new_label() {
        assert_eq!(method_label(&Method::from_bytes(b"FOO").unwrap()), "_OTHER");
        assert_eq!(method_label(&Method::HEAD), "HEAD");
    }

    #[test]
    fn an_empty_or_long_id_or_one_with_spaces_is_not_plain() {
        assert!(is_plain(b"01K9-abc_def"));
        assert!(!is_plain(b"") && !is_plain(b"a b") && !is_plain(&[b'a'; MAX_ID_LENGTH + 1]));
    }
}
