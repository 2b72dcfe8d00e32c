//! Errors of `/v1`: problem details (RFC 9457) with a code for programs, the parameter at fault, and the request's id.

use axum::body::Body;
use axum::extract::{Extension, Request};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::domain::Refusal;
use crate::flow::{FlowError, response};
use crate::platform::http::observe::RequestId;

pub const CONTENT: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Rendered by [`finish`], which knows the request's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    param: Option<String>,
    /// In seconds.
    retry_after: Option<u32>,
    /// What went wrong, for the log.
    cause: Option<String>,
}

#[derive(Serialize)]
struct Body9457<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<&'a str>,
    request_id: &'a str,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, title, detail: detail.into(), param: None, retry_after: None, cause: None }
    }

    fn param(self, name: impl Into<String>) -> Self {
        Self { param: Some(name.into()), ..self }
    }

    fn cause(self, error: &impl std::fmt::Display) -> Self {
        Self { cause: Some(error.to_string()), ..self }
    }

    fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed_request", "The request cannot be understood", detail)
    }

    /// `param` is a field, a query parameter or a header.
    pub fn invalid(param: impl Into<String>, detail: impl Into<String>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "invalid_parameter", "A parameter is not acceptable", detail).param(param)
    }

    pub fn malformed_param(param: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::malformed(detail).param(param)
    }

    pub fn card_number(param: impl Into<String>) -> Self {
        let detail = "card numbers are not accepted here; send a token of the payment provider";
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "card_number", "A parameter contains a card number", detail).param(param)
    }

    pub fn region(wanted: &str, own: &str) -> Self {
        let detail = format!("this is the API of {own}; payments of {wanted} are made there");
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "foreign_region", "The payment belongs to another region", detail).param("region")
    }

    pub fn unauthenticated() -> Self {
        let detail = "send the API key of an account as `Authorization: Bearer sk_…`";
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "A valid API key is required", detail)
    }

    pub fn forbidden(scope: &str) -> Self {
        let detail = format!("the API key lacks the scope `{scope}`");
        Self::new(StatusCode::FORBIDDEN, "insufficient_scope", "The API key does not allow this", detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
    }

    pub fn method_not_allowed() -> Self {
        let detail = "see the header Allow";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(status, "method_not_allowed", "The path does not have this method", detail)
    }

    pub fn too_large(bytes: usize) -> Self {
        let detail = format!("a request body may have {bytes} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The request body is too large", detail)
    }

    pub fn not_json() -> Self {
        let detail = "send JSON with `Content-Type: application/json`";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, "unsupported_media_type", "The request body must be JSON", detail)
    }

    pub fn timed_out() -> Self {
        let detail = "the request is still worked on; repeat it with the same idempotency key";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "timed_out", "The request took too long", detail)
            .retry_after(1)
    }

    pub fn unavailable() -> Self {
        let detail = "repeat the request with the same idempotency key";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "unavailable", "The database is unavailable", detail).retry_after(1)
    }

    pub fn internal() -> Self {
        let detail = "the request's id helps us to find out why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
    }

    fn body(&self, request_id: &str) -> String {
        response::to_json(&Body9457 {
            r#type: format!("urn:payment-api:problem:{}", self.code),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            param: self.param.as_deref(),
            request_id,
        })
    }
}

impl From<FlowError> for Problem {
    fn from(error: FlowError) -> Self {
        let detail = error.to_string();
        let conflict = |code, title| Self::new(StatusCode::CONFLICT, code, title, detail.clone());
        match error {
            FlowError::NotFound => Self::not_found(detail),
            // Without anything left, no amount would do. Refunds under way may fail and leave something.
            FlowError::Refused(Refusal::State { .. } | Refusal::Amount { available: 0 }) => {
                conflict("illegal_state", "The payment's state does not allow this")
            }
            FlowError::Refused(Refusal::Expired { .. }) => {
                conflict("authorization_expired", "The authorization has expired")
            }
            FlowError::Refused(Refusal::Amount { .. }) => Self::invalid("amount", detail),
            FlowError::Changed(_) => {
                let status = StatusCode::PRECONDITION_FAILED;
                Self::new(status, "version_mismatch", "The payment has changed", detail).param("If-Match")
            }
            FlowError::KeyReused => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                let title = "The idempotency key was used for another request";
                Self::new(status, "idempotency_key_reused", title, "use a new key for a new request")
                    .param("Idempotency-Key")
            }
            FlowError::InProgress => {
                conflict("in_progress", "The first request with this idempotency key is still under way")
                    .retry_after(1)
            }
            FlowError::Contended => conflict("contended", "The payment is changing").retry_after(1),
            FlowError::ForeignDatabase(_) => Self::unavailable().cause(&error),
            FlowError::Store(cause) if cause.is_outage() => Self::unavailable().cause(&cause),
            // A repetition would fail in the same way.
            FlowError::Store(cause) => Self::internal().cause(&cause),
            FlowError::Contradiction => Self::internal(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, CONTENT);
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"payments\""));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the body of a problem.
pub async fn finish(Extension(id): Extension<RequestId>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        if let Some(cause) = &problem.cause {
            tracing::error!(request_id = id.as_str(), "request failed: {cause}");
        }
        *response.body_mut() = Body::from(problem.body(id.as_str()));
    } else if let Some(Stored(mut body)) = response.extensions_mut().remove::<Stored>() {
        // It is an object of our own making, and the id has no character that JSON escapes.
        body.truncate(body.trim_end_matches('}').len());
        body.push_str(",\"request_id\":\"");
        body.push_str(id.as_str());
        body.push_str("\"}");
        *response.body_mut() = Body::from(body);
    }
    response
}

pub async fn no_such_path() -> Problem {
    Problem::not_found("the API has no such path")
}

pub async fn no_such_method() -> Problem {
    Problem::method_not_allowed()
}

/// A problem that was stored as the answer to an operation. It gets the id of this request.
pub fn stored(status: StatusCode, body: String) -> Response {
    let mut response = (status, [(CONTENT_TYPE, CONTENT)], Body::empty()).into_response();
    response.extensions_mut().insert(Stored(body));
    response
}

#[derive(Clone)]
struct Stored(String);
