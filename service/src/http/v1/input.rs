//! What a request to `/v1` brings along: the caller, the idempotency key, the version it wants to change, the body.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use serde::de::DeserializeOwned;

use super::V1;
use super::problem::Problem;
use crate::accounts::Stale;
use crate::domain::{IdempotencyKey, KeyError, Scope, contains_card_number};
use crate::store::Credential;

/// In bytes. Fifty entries of metadata with their limits, in characters of four bytes, fit in.
const BODY_LIMIT: usize = 128 * 1024;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Whose API key the request has. Nobody's while `/v1` is closed.
pub struct Caller(Arc<Credential>);

impl Caller {
    /// The credential, if it allows `scope`.
    pub fn with(&self, scope: Scope) -> Result<&Credential, Problem> {
        if self.0.scopes.contains(&scope) { Ok(&self.0) } else { Err(Problem::forbidden(scope.as_str())) }
    }
}

impl FromRequestParts<Arc<V1>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, v1: &Arc<V1>) -> Result<Self, Problem> {
        if !v1.residency.is_confirmed() {
            return Err(Problem::unavailable());
        }
        let value = parts.headers.get(AUTHORIZATION).ok_or_else(Problem::unauthenticated)?;
        let key = bearer(value.as_bytes()).ok_or_else(Problem::unauthenticated)?;
        match v1.accounts.find(key, Instant::now()) {
            Ok(Some(credential)) => Ok(Self(credential)),
            Ok(None) => Err(Problem::unauthenticated()),
            Err(Stale) => Err(Problem::unavailable()),
        }
    }
}

/// The token of `Bearer TOKEN` (RFC 6750). The scheme's name has no case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii()).filter(|token| !token.is_empty())
}

/// Every POST needs one.
pub fn idempotency_key(headers: &HeaderMap) -> Result<IdempotencyKey, Problem> {
    let name = "Idempotency-Key";
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        let detail =
            "send one, with a value that is unique to what you want to happen, such as your order's id";
        return Err(Problem::malformed_param(name, detail));
    };
    let key = value.to_str().map_err(|_| KeyError::Malformed).and_then(IdempotencyKey::parse);
    key.map_err(|error| match error {
        KeyError::CardNumber => Problem::card_number(name),
        KeyError::Malformed => Problem::malformed_param(name, error.to_string()),
    })
}

/// The version of `If-Match`; `None` if any will do.
pub fn version(headers: &HeaderMap) -> Result<Option<i32>, Problem> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let malformed = || Problem::malformed_param("If-Match", "send the ETag of the payment, such as `\"2\"`");
    let text = value.to_str().map_err(|_| malformed())?.trim();
    if text == "*" {
        return Ok(None);
    }
    let digits = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).ok_or_else(malformed)?;
    // A tag that is not one of ours is no version of the payment.
    Ok(Some(digits.parse().unwrap_or(0)))
}

/// The request's body as JSON. Without one, that of an empty object.
pub async fn json<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = read(body).await?;
    if bytes.is_empty() {
        return parse(b"{}");
    }
    if !is_json(&parts.headers) {
        return Err(Problem::not_json());
    }
    parse(&bytes)
}

async fn read(body: Body) -> Result<Vec<u8>, Problem> {
    let bytes = axum::body::to_bytes(body, BODY_LIMIT).await;
    let bytes = bytes.map_err(|error| {
        let is_too_long = std::error::Error::source(&error)
            .is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>);
        if is_too_long { Problem::too_large(BODY_LIMIT) } else { Problem::malformed("the body ended early") }
    })?;
    Ok(bytes.into())
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// The error names the place and does not quote the text, which may be a card number.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        let place = format!("line {}, column {}", cause.line(), cause.column());
        match cause.classify() {
            // An unknown field is the client's text as well.
            serde_json::error::Category::Data if contains_card_number(&path) => {
                Problem::malformed(describe(&cause))
            }
            serde_json::error::Category::Data => Problem::malformed_param(path, describe(&cause)),
            _ => Problem::malformed(format!("the body is not JSON ({place})")),
        }
    })?;
    json.end().map_err(|_| Problem::malformed("the body has something after its JSON"))?;
    Ok(value)
}

/// Serde's message without what it quotes from the input: `invalid type: string "4111…", expected i64`.
fn describe(cause: &serde_json::Error) -> String {
    let text = cause.to_string();
    // The last one: what is quoted from the input may contain the same words.
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    // Also if the input has these words: then it is quoted with a quotation mark behind them.
    if let Some((_, expected)) = message.rsplit_once(", expected ")
        && !expected.contains('"')
        && !contains_card_number(expected)
    {
        return format!("expected {expected}");
    }
    match message.split('`').collect::<Vec<_>>()[..] {
        ["missing field ", field, ..] => format!("`{field}` is missing"),
        ["duplicate field ", field, ..] => format!("`{field}` occurs twice"),
        _ => "unknown field, or a value of the wrong kind".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        #[allow(dead_code, reason = "only its type matters")]
        amount: i64,
    }

    #[test]
    fn an_error_names_the_place_and_quotes_nothing() {
        for body in [
            r#"{"amount": "4111111111111111"}"#,
            r#"{"amount": 1, "4111111111111111": 1}"#,
            r#"{"amount": 1, ", expected 4111111111111111 at line 1": 1}"#,
            r#"{"amount": ", expected 4111111111111111 at line "}"#,
            r#"{"amount": 1} 4111111111111111"#,
            r#"{"amount": 4111111111111111.5}"#,
            r#"{"amount": [4111111111111111]}"#,
            "4111111111111111",
            "{",
        ] {
            let problem = format!("{:?}", parse::<Example>(body.as_bytes()).unwrap_err());
            assert!(!problem.contains("detail: \"\"") && !problem.contains("4111"), "{body}: {problem}");
        }
        let problem = format!("{:?}", parse::<Example>(br#"{"amount": "1"}"#).unwrap_err());
        assert!(
            problem.contains("\"expected i64\"") && problem.contains("param: Some(\"amount\")"),
            "{problem}"
        );
        let problem = format!("{:?}", parse::<Example>(b"{}").unwrap_err());
        assert!(problem.contains("`amount` is missing"), "{problem}");
    }

    #[test]
    fn a_bearer_token_has_a_scheme_and_is_not_empty() {
        assert_eq!(bearer(b"Bearer sk_1"), Some(&b"sk_1"[..]));
        assert_eq!(bearer(b"bearer  sk_1"), Some(&b"sk_1"[..]));
        for value in [&b"sk_1"[..], b"Bearer", b"Bearer ", b"Basic sk_1", b""] {
            assert_eq!(bearer(value), None);
        }
    }
}
