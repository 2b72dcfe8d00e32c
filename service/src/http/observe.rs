//! What every request gets: an id, its metrics, a log line.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use uuid::Uuid;

use super::App;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A longer one is not an id, and would be copied into every log line.
const LONGEST_ID: usize = 128;
/// The endpoint of requests that match no route.
const UNMATCHED: &str = "unmatched";

/// The client's `X-Request-Id`, or one of ours where that is missing or odd.
#[derive(Clone)]
pub struct RequestId(HeaderValue);

impl RequestId {
    fn of(request: &Request) -> Self {
        let given = request.headers().get(REQUEST_ID).filter(|value| is_plain(value.as_bytes()));
        Self(given.cloned().unwrap_or_else(|| {
            HeaderValue::from_str(&Uuid::now_v7().to_string()).expect("a UUID is a valid header value")
        }))
    }

    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

pub async fn observe(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let _counted = app.metrics.enter();
    let id = RequestId::of(&request);
    let method = method_label(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let endpoint = matched.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    request.extensions_mut().insert(id.clone());

    let mut response = next.run(request).await;

    let took = begun.elapsed();
    let status = response.status();
    app.metrics.answered(method, endpoint, status.as_u16(), took);
    // probes come every few seconds from every node; they are in the metrics
    let is_routine =
        status.is_success() && matches!(endpoint, "/livez" | "/readyz" | "/startupz" | "/health");
    if !is_routine {
        tracing::info!(
            request_id = id.as_str(),
            method,
            endpoint,
            status = status.as_u16(),
            duration_ms = took.as_secs_f64() * 1000.0,
            "request"
        );
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id.0);
    if app.lifecycle.is_draining() {
        // who keeps connections open should open the next one elsewhere
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Bounded, so that nobody can make new series by inventing methods.
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
        && id.len() <= LONGEST_ID
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:=+/".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invented_method_makes_no_new_label() {
        assert_eq!(method_label(&Method::from_bytes(b"FOO").unwrap()), "_OTHER");
        assert_eq!(method_label(&Method::HEAD), "HEAD");
    }

    #[test]
    fn a_plain_id_has_no_spaces_and_an_end() {
        assert!(is_plain(b"01K9-abc_def"));
        assert!(!is_plain(b"") && !is_plain(b"a b") && !is_plain(&[b'a'; LONGEST_ID + 1]));
    }
}
