//! Paths as the legacy service's router understood them, before the routes see them.
//!
//! Clients can depend on this: `/%68ealth` is `/health`, and a path with empty or dot segments is redirected to its clean
//! form. Everything else is left to the routes.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::reply;

/// What is escaped in a redirect's target.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// Answers a malformed or unclean path, and passes every other one on in its decoded form.
pub async fn normalize(mut request: Request, next: Next) -> Response {
    if request.method() == Method::CONNECT || !request.uri().path().starts_with('/') {
        return next.run(request).await;
    }
    let path = request.uri().path();
    // Almost every request.
    if !path.contains('%') && !path.contains("//") && !path.contains("/.") {
        return next.run(request).await;
    }
    let Some(decoded) = decode(path) else { return malformed() };
    let clean = clean(&decoded);
    if clean != decoded {
        return moved(request.method(), &clean, request.uri().query());
    }
    if let Some(uri) = with_path(request.uri(), &decoded) {
        *request.uri_mut() = uri;
    }
    next.run(request).await
}

/// `None` if an escape is malformed.
fn decode(path: &str) -> Option<String> {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = path.as_bytes();
    let escapes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    let mut is_valid = escapes.map(|(at, _)| is_hex(bytes.get(at + 1)) && is_hex(bytes.get(at + 2)));
    is_valid.all(|valid| valid).then(|| percent_decode_str(path).decode_utf8_lossy().into_owned())
}

/// Without empty and dot segments. A slash at the end stays.
fn clean(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let end = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

/// `uri` with another path. `None` if that has characters that need escaping, which no route has.
fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

fn moved(method: &Method, path: &str, query: Option<&str>) -> Response {
    let mut target = utf8_percent_encode(path, ESCAPED).to_string();
    if let Some(query) = query {
        target = format!("{target}?{query}");
    }
    let Ok(location) = HeaderValue::from_str(&target) else { return malformed() };
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let status = StatusCode::MOVED_PERMANENTLY;
    match *method {
        Method::GET => {
            let link = target.replace('&', "&amp;").replace('"', "&#34;").replace('\'', "&#39;");
            let link = link.replace('<', "&lt;").replace('>', "&gt;");
            let body = format!("<a href=\"{link}\">Moved Permanently</a>.\n\n");
            (status, [(CONTENT_TYPE, html), (LOCATION, location)], body).into_response()
        }
        Method::HEAD => (status, [(CONTENT_TYPE, html), (LOCATION, location)], Body::empty()).into_response(),
        _ => (status, [(LOCATION, location)]).into_response(),
    }
}

pub fn malformed() -> Response {
    reply::bad_request("400 Bad Request")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_dot_segments_are_removed() {
        for (path, expected) in [
            ("/health", "/health"),
            ("/health/", "/health/"),
            ("//health", "/health"),
            ("/a/../health", "/health"),
            ("/../..", "/"),
            ("/./", "/"),
            ("/health/.", "/health"),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
    }

    #[test]
    fn only_complete_escapes_are_decoded() {
        assert_eq!(decode("/%68ealth").as_deref(), Some("/health"));
        for path in ["/%", "/%6", "/%zz", "/%68%"] {
            assert_eq!(decode(path), None, "{path}");
        }
    }
}
