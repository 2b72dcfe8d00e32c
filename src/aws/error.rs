//! What an AWS error means for a run.

use aws_credential_types::provider::error::CredentialsError;
use aws_runtime::retries::classifiers::{THROTTLING_ERRORS, TRANSIENT_ERRORS};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::{display::DisplayErrorContext, metadata::ProvideErrorMetadata};

use super::fenced::NotSent;
use crate::{
    task::{Class, Error, causes},
    web_proxy,
};

/// Error codes that a retry may fix, beyond those of the SDK's own classifiers.
const TRANSIENT: [&str; 10] = [
    // A deletion elsewhere becomes visible only after a while.
    "DependencyViolation",
    // Another change of the same resource is under way.
    "OperationAborted",
    // The server's own failures. They come with a status that says the same, except from S3, which may have sent
    // `200 OK` before it failed.
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "InternalServerException",
    "InternalServiceError",
    "ServerException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
];

/// The SDK counts this code as throttling, because it is in DynamoDB and Kinesis. In the services that paydeploy
/// calls (ACM, ECR, Secrets Manager) it means that a quota is used up.
const QUOTA: &str = "LimitExceededException";

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
pub fn classify<E>(error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    if let Some(not_sent) = not_sent(&error) {
        return Error::msg(not_sent.class, not_sent);
    }
    let (class, proxy) = (class(&error), web_proxy::hint(&error));
    let message = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => match error.raw_response().map(|raw| raw.status().as_u16()) {
            // Neither AWS's own answer nor readable as one: a proxy's page, or no body at all.
            Some(status) if Class::is_transient_status(status) => {
                format!("AWS answered with status {status}")
            }
            _ => DisplayErrorContext(&error).to_string(),
        },
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
        Error { hint: proxy, ..error }
    }
}

/// The class of an error. The SDK has already retried the transient ones, three attempts within seconds.
fn class<E>(error: &SdkError<E, HttpResponse>) -> Class
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let service = match error {
        SdkError::DispatchFailure(_) if lacks_credentials(error) => return Class::Permanent,
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) | SdkError::ResponseError(_) => {
            return Class::Transient;
        }
        SdkError::ServiceError(service) => service,
        _ => return Class::Permanent,
    };
    let code = error.code().unwrap_or_default();
    let is_transient = Class::is_transient_status(service.raw().status().as_u16())
        || (THROTTLING_ERRORS.contains(&code) && code != QUOTA)
        || TRANSIENT_ERRORS.contains(&code)
        || TRANSIENT.contains(&code);
    if is_transient {
        Class::Transient
    } else if CONFLICT.contains(&code) {
        Class::Conflict
    } else {
        Class::Permanent
    }
}

/// Whether a request was not sent because there are no credentials: a retry does not find any. A source of
/// credentials that fails or times out (IMDS, SSO, a role's STS call) may work later.
fn lacks_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    causes(error).any(|cause| {
        matches!(
            cause.downcast_ref(),
            Some(CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_))
        )
    })
}

/// Why a request was not sent, if that is because the run may not act.
fn not_sent<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a NotSent> {
    causes(error).find_map(|cause| cause.downcast_ref())
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

/// Whether a service may have acted on a call that failed: it did not answer, or it failed itself.
pub fn may_have_acted<E>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => false,
        SdkError::ServiceError(service) => service.raw().status().as_u16() >= 500,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_eks::operation::describe_cluster::DescribeClusterError;
    use aws_smithy_runtime_api::{client::result::ConnectorError, http::StatusCode};
    use aws_smithy_types::{body::SdkBody, error::ErrorMetadata};

    use super::*;

    fn answered(status: u16, code: Option<&str>) -> Error {
        let mut metadata = ErrorMetadata::builder();
        if let Some(code) = code {
            metadata = metadata.code(code).message("said so");
        }
        let raw = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty());
        classify(SdkError::service_error(DescribeClusterError::generic(metadata.build()), raw))
    }

    #[test]
    fn a_status_of_a_broken_or_busy_server_is_transient_whatever_the_code() {
        for status in [429, 500, 502, 503, 504] {
            for code in [None, Some("InternalServiceError"), Some("ServiceFailure"), Some("NeverSeenBefore")]
            {
                assert_eq!(answered(status, code).class, Class::Transient, "{status} {code:?}");
            }
        }
        assert_eq!(answered(503, None).to_string(), "AWS answered with status 503");
    }

    #[test]
    fn throttling_is_transient_although_its_status_is_400() {
        for code in ["ThrottlingException", "RequestLimitExceeded", "EC2ThrottledException", "RequestTimeout"]
        {
            assert_eq!(answered(400, Some(code)).class, Class::Transient, "{code}");
        }
    }

    #[test]
    fn a_refusal_a_used_up_quota_and_a_wrong_request_are_permanent() {
        for code in
            [Some("AccessDeniedException"), Some("LimitExceededException"), Some("InvalidParameter"), None]
        {
            assert_eq!(answered(400, code).class, Class::Permanent, "{code:?}");
        }
        assert_eq!(answered(501, None).class, Class::Permanent);
        assert_eq!(answered(409, Some("ResourceInUseException")).class, Class::Conflict);
    }

    #[test]
    fn a_call_that_was_refused_had_no_effect_and_one_without_an_answer_may_have() {
        let acted = |status: u16| {
            let raw = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty());
            let error = DescribeClusterError::generic(ErrorMetadata::builder().build());
            may_have_acted(&SdkError::service_error(error, raw))
        };
        assert!(!acted(400) && !acted(403) && acted(500) && acted(503));
        let lost = ConnectorError::io("reset".into());
        assert!(may_have_acted(&SdkError::<DescribeClusterError, HttpResponse>::dispatch_failure(lost)));
    }

    #[test]
    fn a_request_of_a_run_that_has_lost_its_lease_is_neither_retried_nor_a_failure() {
        let not_sent = NotSent { class: Class::Cancelled, why: "it was deleted".to_owned() };
        let not_sent = ConnectorError::other(not_sent.into(), None);
        let error = SdkError::<DescribeClusterError, HttpResponse>::dispatch_failure(not_sent);
        // An earlier attempt of the same call may have been sent.
        assert!(may_have_acted(&error));
        let error = classify(error);
        assert_eq!((error.class, error.to_string().as_str()), (Class::Cancelled, "it was deleted"));
    }

    #[test]
    fn a_request_that_was_not_sent_is_retried_unless_there_are_no_credentials() {
        let unsent = |error: ConnectorError| {
            classify(SdkError::<DescribeClusterError, HttpResponse>::dispatch_failure(error)).class
        };
        let missing = CredentialsError::not_loaded("no providers in chain");
        assert_eq!(unsent(ConnectorError::other(missing.into(), None)), Class::Permanent);
        let failed = CredentialsError::provider_error("IMDS answered 503");
        assert_eq!(unsent(ConnectorError::other(failed.into(), None)), Class::Transient);
        assert_eq!(unsent(ConnectorError::io("reset".into())), Class::Transient);
    }
}
