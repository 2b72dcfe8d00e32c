//! The class of a container engine's error.

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
        // Not the engine's own answer, which always has a message: a proxy's page, or no body at all.
        EngineError::DockerResponseServerError { status_code: 500, message }
            if message.trim().is_empty() || message.trim_start().starts_with('<') =>
        {
            Class::Transient
        }
        // An engine returns 500 for almost every failure and passes on the network's own message.
        EngineError::DockerResponseServerError { message, .. }
        | EngineError::DockerStreamError { error: message } => Class::classify_message(message),
        _ => Class::Permanent,
    };
    match error {
        // bollard's own prefix would add nothing to the engine's message.
        EngineError::DockerStreamError { error } => Error::msg(class, error.trim_end()),
        error => Error::new(class, error),
    }
}

pub(super) fn is_missing(error: &EngineError) -> bool {
    matches!(error, EngineError::DockerResponseServerError { status_code: 404, .. })
}

#[cfg(test)]
mod tests {
    use bollard::errors::Error as EngineError;

    use super::classify;
    use crate::task::Class;

    #[test]
    fn network_errors_are_transient_and_a_failed_build_is_permanent() {
        let down = "Get \"https://r.example/v2/\": dial tcp 10.0.0.1:443: connect: connection refused";
        assert_eq!(Class::classify_message(down), Class::Transient);
        assert_eq!(
            Class::classify_message("toomanyrequests: You have reached your pull rate limit"),
            Class::Transient
        );
        assert_eq!(
            Class::classify_message("executor failed running [/bin/sh -c cargo build]: exit code: 101"),
            Class::Permanent
        );
    }

    #[test]
    fn a_broken_or_busy_engine_is_transient_and_its_own_500_is_judged_by_its_message() {
        let class = |status_code: u16, message: &str| {
            let message = message.to_owned();
            classify(EngineError::DockerResponseServerError { status_code, message }).class
        };
        for status in [429, 500, 502, 503, 504] {
            assert_eq!(class(status, ""), Class::Transient, "{status}");
            assert_eq!(class(status, "<html>try again later</html>"), Class::Transient, "{status}");
        }
        assert_eq!(class(500, "received unexpected HTTP status: 503"), Class::Transient);
        assert_eq!(class(500, "no space left on device"), Class::Permanent);
    }

    #[test]
    fn an_engines_message_is_kept_as_it_is() {
        let error = EngineError::DockerStreamError { error: "no space left on device\n".to_owned() };
        let error = classify(error);
        assert_eq!((error.class, error.to_string().as_str()), (Class::Permanent, "no space left on device"));
    }
}
