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
        // an engine answers 500 to almost everything that fails, and passes on what its network said
        | EngineError::DockerStreamError { error: message } => Class::classify_message(message),
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

#[cfg(test)]
mod tests {
    use bollard::errors::Error as EngineError;

    use super::classify;
    use crate::task::Class;

    #[test]
    fn trouble_of_the_network_passes_and_a_broken_build_does_not() {
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
    fn an_engine_speaks_for_itself() {
        let error = EngineError::DockerStreamError { error: "no space left on device\n".to_owned() };
        let error = classify(error);
        assert_eq!((error.class, error.to_string().as_str()), (Class::Permanent, "no space left on device"));
    }
}
