//! Responses, byte for byte as the legacy service sent them.

use std::io;

use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::ser::Formatter;

use crate::platform::http::{NOSNIFF, text};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Escapes what Go's encoder escapes so that JSON can be embedded in HTML.
struct EscapeHtml;

impl Formatter for EscapeHtml {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['&', '<', '>', '\u{2028}', '\u{2029}']) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut characters = from.chars();
            if let Some(special) = characters.next() {
                write!(writer, "\\u{:04x}", u32::from(special))?;
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// `body` as JSON with a trailing newline, as Go's encoder writes it.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut text = Vec::with_capacity(256);
    match body.serialize(&mut serde_json::Serializer::with_formatter(&mut text, EscapeHtml)) {
        Ok(()) => {
            text.push(b'\n');
            (status, [(CONTENT_TYPE, JSON)], text).into_response()
        }
        Err(error) => {
            tracing::error!("failed to encode a response: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// An error of the legacy routes. `body` is sent as it is, with the legacy space and trailing newline.
pub fn error(status: StatusCode, body: &'static str) -> Response {
    (status, [(CONTENT_TYPE, JSON), (X_CONTENT_TYPE_OPTIONS, NOSNIFF)], body).into_response()
}

/// The answer to what is not valid HTTP. It ends the connection.
pub fn bad_request(body: impl IntoResponse) -> Response {
    let mut response = text(StatusCode::BAD_REQUEST, body);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// 503, which invites the client to try again after a second.
pub fn unavailable(body: &'static str) -> Response {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, body);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

pub async fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// The router adds the `Allow` header.
pub async fn method_not_allowed() -> Response {
    text(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n")
}
