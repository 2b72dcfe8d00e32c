//! What an engine's error means for a run.

use bollard::errors::Error as EngineError;

use crate::task::{Class, Error};

/// An engine's error as a step's error.
pub(super) fn classify(error: EngineError) -> Error {
    let class = match &error {
        EngineError::RequestTimeoutError
        | EngineError::IOError { .. }
        | EngineError::HyperResponseError { .. }
        | EngineError::HyperLegacyError { .. }
        | EngineError::DockerResponseServerError { status_code: 429 | 502..=504, .. } => Class::Transient,
        EngineError::DockerResponseServerError { message, .. }
        | EngineError::DockerStreamError { error: message } => class_of(message),
        _ => Class::Permanent,
    };
    match error {
        // the engine's own words say it all
        EngineError::DockerStreamError { error } => Error::msg(class, error.trim_end()),
        error => Error::new(class, error),
    }
}

pub(super) fn is_missing(error: &EngineError) -> bool {
    matches!(error, EngineError::DockerResponseServerError { status_code: 404, .. })
}

/// An engine answers 500 to almost everything that fails, and passes on what its network said.
pub(super) fn class_of(message: &str) -> Class {
    const LATER: [&str; 14] = [
        "429 too many requests",
        "500 internal server error",
        "502 bad gateway",
        "503 service unavailable",
        "504 gateway timeout",
        "connection refused",
        "connection reset",
        "i/o timeout",
        "deadline exceeded",
        "no such host",
        "temporary failure in name resolution",
        "tls handshake timeout",
        "toomanyrequests",
        "unexpected eof",
    ];
    let message = message.to_ascii_lowercase();
    if LATER.iter().any(|sign| message.contains(sign)) { Class::Transient } else { Class::Permanent }
}

#[cfg(test)]
mod tests {
    use bollard::errors::Error as EngineError;

    use super::{class_of, classify};
    use crate::task::Class;

    #[test]
    fn trouble_of_the_network_passes_and_a_broken_build_does_not() {
        let down = "Get \"https://r.example/v2/\": dial tcp 10.0.0.1:443: connect: connection refused";
        assert_eq!(class_of(down), Class::Transient);
        assert_eq!(class_of("toomanyrequests: You have reached your pull rate limit"), Class::Transient);
        assert_eq!(
            class_of("executor failed running [/bin/sh -c cargo build]: exit code: 101"),
            Class::Permanent
        );
    }

    #[test]
    fn an_engine_speaks_for_itself() {
        let error = EngineError::DockerStreamError { error: "no space left on device\n".to_owned() };
        let error = classify(error);
        assert_eq!((error.class, error.to_string().as_str()), (Class::Permanent, "no space left on device"));
    }
}
