//! A step's failure: its causes, its class and its fix.

use std::{fmt, io};

use serde::{Deserialize, Serialize};

/// What a failure means for the run. Only transient failures are retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Throttling, timeouts, 5xx, connection errors, eventual consistency: the same call may succeed later.
    Transient,
    /// Something else created or holds the resource: adopt it or wait for it.
    Conflict,
    /// The same call would fail again.
    Permanent,
    /// It would delete or replace a protected resource without explicit permission.
    Refused,
    /// An earlier phase has not run.
    Prerequisite,
    /// The run is stopping: the operator asked for it, or the run may no longer act.
    Cancelled,
}

impl Class {
    /// Whether a server that answers with this HTTP status may answer differently later, whatever its message: it
    /// throttles, or it or a proxy before it is broken. 501 and 505 describe the request instead.
    pub fn is_transient_status(status: u16) -> bool {
        matches!(status, 429 | 500 | 502..=504)
    }

    /// The class of an error that is known only by its message: a container engine's, Helm's, Argo CD's or
    /// terraform's report of what a network or a server answered. Everything unknown is permanent.
    pub fn classify_message(message: &str) -> Self {
        const TRANSIENT: [&str; 19] = [
            "429 too many requests",
            "500 internal server error",
            "502 bad gateway",
            "503 service unavailable",
            "504 gateway timeout",
            "client connection lost",
            "cluster unreachable",
            "connection refused",
            "connection reset",
            "deadline exceeded",
            "failed calling webhook",
            "i/o timeout",
            "no such host",
            "server is currently unable",
            "temporary failure in name resolution",
            "tls handshake timeout",
            "toomanyrequests",
            "too many requests",
            "unexpected eof",
        ];
        let message = message.to_ascii_lowercase();
        let is_transient = TRANSIENT.iter().any(|sign| message.contains(sign))
            || reported_statuses(&message).any(Self::is_transient_status);
        if is_transient { Self::Transient } else { Self::Permanent }
    }
}

/// The HTTP statuses that a message in lower case names: `StatusCode: 503` (the AWS SDK for Go), `status code 503`
/// (Helm's registry client), `HTTP status: 503` (Docker).
fn reported_statuses(message: &str) -> impl Iterator<Item = u16> {
    let after = ["statuscode", "status code", "http status"]
        .into_iter()
        .flat_map(|label| message.match_indices(label).map(|(at, label)| &message[at + label.len()..]));
    after.filter_map(|rest| {
        let rest = rest.trim_start_matches([':', ' ']);
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    })
}

/// The error of every step function. Any other error becomes a permanent one by `?`.
#[derive(Debug)]
pub struct Error {
    pub class: Class,
    pub source: anyhow::Error,
    /// What the operator should do, in one line; printed as `fix:`.
    pub hint: Option<String>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(class: Class, source: impl Into<anyhow::Error>) -> Self {
        Self { class, source: source.into(), hint: None }
    }

    pub fn msg(class: Class, message: impl fmt::Display) -> Self {
        Self { class, source: anyhow::anyhow!("{message}"), hint: None }
    }

    pub fn permanent(message: impl fmt::Display) -> Self {
        Self::msg(Class::Permanent, message)
    }

    pub fn transient(message: impl fmt::Display) -> Self {
        Self::msg(Class::Transient, message)
    }

    pub fn cancelled() -> Self {
        Self::msg(Class::Cancelled, "interrupted")
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A copy of its text, for each of several that wait for one answer: an error itself belongs to one step.
    pub fn copy(&self) -> Self {
        Self { hint: self.hint.clone(), ..Self::msg(self.class, self) }
    }

    /// The chain of causes, outermost first.
    pub fn chain(&self) -> Vec<String> {
        let mut chain: Vec<String> = Vec::new();
        for cause in self.source.chain() {
            let text = cause.to_string();
            // Some libraries repeat their source in their own message.
            if !chain.iter().any(|outer| outer.ends_with(&text)) {
                chain.push(text);
            }
        }
        chain
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain().join(": "))
    }
}

impl<E: Into<anyhow::Error>> From<E> for Error {
    fn from(error: E) -> Self {
        Self::new(Class::Permanent, error)
    }
}

/// The fix for a failure to write below `.paydeploy`.
pub fn write_fix(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "free space on the disk that holds `.paydeploy`, then run the same command again"
        }
        _ => "make `.paydeploy` and all files in it writable for this user, then run the same command again",
    }
}

/// Context for a failed result on its way up.
pub trait ErrorExt<T> {
    fn class(self, class: Class) -> Result<T>;
    /// What the operator should do, unless code closer to the cause has set it.
    fn hint(self, hint: impl Into<String>) -> Result<T>;
    /// What failed, as a verb phrase that follows "failed to".
    fn doing(self, what: impl fmt::Display + Send + Sync + 'static) -> Result<T>;
}

impl<T, E: Into<Error>> ErrorExt<T> for std::result::Result<T, E> {
    fn class(self, class: Class) -> Result<T> {
        self.map_err(|error| Error { class, ..error.into() })
    }

    fn hint(self, hint: impl Into<String>) -> Result<T> {
        self.map_err(|error| match error.into() {
            error @ Error { hint: Some(_), .. } => error,
            error => error.with_hint(hint),
        })
    }

    fn doing(self, what: impl fmt::Display + Send + Sync + 'static) -> Result<T> {
        self.map_err(|error| {
            let Error { class, source, hint } = error.into();
            Error { class, source: source.context(format!("failed to {what}")), hint }
        })
    }
}

/// An error and what caused it, outermost first.
pub fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

#[cfg(test)]
mod tests {
    use super::Class;

    #[test]
    fn a_status_in_a_message_decides_whatever_else_the_message_says() {
        for message in [
            "https response error StatusCode: 503, RequestID: 1, api error UnknownError: UnknownError",
            "https response error StatusCode: 429, RequestID: , deserialization failed",
            "InternalFailure: try again, status code: 500, request id: 1",
            "GET \"https://charts.example/v2/x/manifests/1\": response status code 502: Bad Gateway",
            "received unexpected HTTP status: 504",
        ] {
            assert_eq!(Class::classify_message(message), Class::Transient, "{message}");
        }
        for message in [
            "https response error StatusCode: 400, RequestID: 503",
            "response status code 501: x",
            "status code",
        ] {
            assert_eq!(Class::classify_message(message), Class::Permanent, "{message}");
        }
    }
}
