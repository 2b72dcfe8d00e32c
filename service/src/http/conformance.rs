//! What HTTP requires of a request and hyper does not check.

use axum::extract::Request;
use axum::http::Version;
use axum::http::header::HOST;
use axum::middleware::Next;
use axum::response::Response;

use super::{paths, reply};

/// Refuses an HTTP/1.1 request that does not have exactly one valid Host, with the legacy service's messages. Proxies in
/// front may route such a request differently than it is understood here.
pub async fn require_host(request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(HOST).iter();
    let problem = match (hosts.next(), hosts.next()) {
        (None, _) if request.version() == Version::HTTP_11 => "missing required Host header",
        (_, Some(_)) => return paths::malformed(),
        (Some(host), None) if !is_valid(host.as_bytes()) => "malformed Host header",
        _ => return next.run(request).await,
    };
    reply::bad_request(format!("400 Bad Request: {problem}"))
}

/// Whether `host` has only characters that a name, an address or a port can have.
fn is_valid(host: &[u8]) -> bool {
    host.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=[]_~".contains(byte))
}
