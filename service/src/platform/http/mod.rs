//! What surrounds the routes of any service: observation, probes, metrics.

mod access_log;
pub mod exposition;
pub mod observe;
pub mod probes;

use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

pub use self::access_log::AccessLog;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
pub const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

pub fn text(status: StatusCode, body: impl IntoResponse) -> Response {
    (status, [(CONTENT_TYPE, TEXT), (X_CONTENT_TYPE_OPTIONS, NOSNIFF)], body).into_response()
}
