//! What an AWS error means for a run.

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::{display::DisplayErrorContext, metadata::ProvideErrorMetadata};

use crate::task::{Class, Error};

/// Error codes that a retry may fix, beyond those that the SDK retries itself. `DependencyViolation` is one
/// because a deletion elsewhere becomes visible only after a while.
const TRANSIENT: [&str; 16] = [
    "DependencyViolation",
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "LimitExceededException",
    "OperationAborted",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "ServerException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
];

/// Error codes of a resource that already exists or that another process is changing.
const CONFLICT: [&str; 6] = [
    "AlreadyExistsException",
    "BucketAlreadyOwnedByYou",
    "ConditionalRequestConflict",
    "PreconditionFailed",
    "ResourceExistsException",
    "ResourceInUseException",
];

/// An SDK error as a step's error, with AWS's own code and message.
pub fn classify<E, R>(error: SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let class = match &error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => {
            Class::Transient
        }
        _ => match error.code() {
            Some(code) if TRANSIENT.contains(&code) => Class::Transient,
            Some(code) if CONFLICT.contains(&code) => Class::Conflict,
            _ => Class::Permanent,
        },
    };
    let message = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => DisplayErrorContext(&error).to_string(),
    };
    let rejected = matches!(
        error.code(),
        Some(
            "ExpiredToken" | "ExpiredTokenException" | "InvalidClientTokenId" | "UnrecognizedClientException"
        )
    );
    let error = Error::msg(class, message);
    if rejected {
        error.with_hint("get fresh AWS credentials, then run the same command again")
    } else {
        error
    }
}

/// Whether an error means that the resource does not exist. Every service has its own code for it.
pub fn is_missing<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    error.code().is_some_and(|code| {
        code.contains("NotFound")
            || code.starts_with("NoSuch")
            || code == "404"
            || code == "ResourceNotFoundFault"
    })
}
