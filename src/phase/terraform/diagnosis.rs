//! Classifies terraform's diagnostics: retry, conflict, or permanent.

use super::message::Diagnostic;
use crate::step::{Class, Error};

/// Messages of AWS and of its provider after which a retry may succeed, in lower case. Those that any network
/// client prints, and statuses such as `StatusCode: 503`, are in [`Class::classify_message`].
const RETRYABLE: [&str; 42] = [
    ": eof",
    "api error internalerror",
    "api error internalfailure",
    "api error internalserver",
    "api error internalservice",
    "bad gateway",
    "broken pipe",
    "cannot be assumed by",
    "cannot delete because",
    "concurrent update",
    "concurrentmodification",
    "concurrentupdate",
    "connection timed out",
    "could not be assumed because it does not exist",
    "currently creating",
    "dependencyviolation",
    "failed to persist state",
    "failed to save state",
    "gateway timeout",
    "in progress",
    "invalid principal",
    "invaliddbinstancestate",
    "invalidgroup.notfound",
    "invalidinternetgatewayid.notfound",
    "invalidroutetableid.notfound",
    "invalidsubnetid.notfound",
    "invalidvpcid.notfound",
    "operationaborted",
    "plugin did not respond",
    "priorrequestnotcomplete",
    "rate exceeded",
    "request send failed",
    "requestlimitexceeded",
    "requesttimeout",
    "saved plan is stale",
    "service unavailable",
    "servicefailure",
    "serviceunavailable",
    "slowdown",
    "throttl",
    "timeout while waiting for",
    "toomanyrequests",
];

/// Messages about a resource that exists already.
const EXISTING: [&str; 6] = [
    "alreadyexists",
    "already exists",
    "bucketalreadyownedbyyou",
    "duplicate",
    "entityalreadyexists",
    "resourceinuseexception",
];

const EXPIRED: [&str; 4] = [
    "expiredtoken",
    "invalidclienttokenid",
    "no valid credential sources",
    "security token included in the request is",
];

fn contains_any(diagnostic: &Diagnostic, words: &[&str]) -> bool {
    let text = text(diagnostic).to_lowercase();
    words.iter().any(|word| text.contains(word))
}

fn text(diagnostic: &Diagnostic) -> String {
    format!("{} {}", diagnostic.summary, diagnostic.detail)
}

fn is_transient(diagnostic: &Diagnostic) -> bool {
    Class::classify_message(&text(diagnostic)) == Class::Transient || contains_any(diagnostic, &RETRYABLE)
}

/// Whether the working folder must be initialised (again).
pub fn wants_init(diagnostics: &[Diagnostic]) -> bool {
    let words = [
        "backend initialization required",
        "inconsistent dependency lock file",
        "module not installed",
        "module source has changed",
        "required plugins are not installed",
    ];
    diagnostics.iter().any(|diagnostic| contains_any(diagnostic, &words))
}

/// Whether terraform may have created something of which it does not know: an answer was lost, a name is taken, a provider
/// died, or it was interrupted.
pub fn may_have_lost(diagnostics: &[Diagnostic]) -> bool {
    let errors: Vec<&Diagnostic> = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).collect();
    let interrupted = ["canceled", "cancelled", "halted", "interrupt", "plugin"];
    // Without an error it is not known why it failed.
    errors.is_empty()
        || errors.iter().any(|error| {
            is_transient(error) || contains_any(error, &EXISTING) || contains_any(error, &interrupted)
        })
}

/// Errors of one terraform command as the step's error; `None` if there are none.
pub fn judge(diagnostics: &[Diagnostic]) -> Option<Error> {
    let errors: Vec<&Diagnostic> = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).collect();
    if errors.is_empty() {
        return None;
    }
    let class = if errors.iter().all(|error| is_transient(error)) {
        Class::Transient
    } else if errors.iter().all(|error| is_transient(error) || contains_any(error, &EXISTING)) {
        Class::Conflict
    } else {
        Class::Permanent
    };
    let mut texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.dedup();
    let error = Error::msg(class, texts.join("\n"));
    Some(match hint(&errors) {
        Some(hint) => error.with_hint(hint),
        None => error,
    })
}

fn hint(errors: &[&Diagnostic]) -> Option<String> {
    if errors.iter().any(|error| contains_any(error, &EXPIRED)) {
        return Some("get fresh AWS credentials, then run the same command again".to_owned());
    }
    let existing = errors.iter().find(|error| contains_any(error, &EXISTING) && !is_transient(error))?;
    let address = existing.address.as_deref().unwrap_or("ADDRESS");
    Some(format!(
        "the resource exists but is not in the state, as after a killed run: delete it, or import it \
         with `terraform import '{address}' ID`"
    ))
}

#[cfg(test)]
mod tests {
    use super::{judge, may_have_lost, wants_init};
    use crate::{phase::terraform::message::Diagnostic, step::Class};

    #[test]
    fn only_an_error_that_aws_has_answered_shows_that_terraform_knows_what_exists() {
        let lost = |summary: &str| may_have_lost(&[error(summary, "")]);
        assert!(!lost("creating EC2 VPC: api error VpcLimitExceeded: the maximum number is reached"));
        assert!(!lost("creating EC2 VPC: api error UnauthorizedOperation"));
        for summary in [
            "creating RDS DB Instance: DBInstanceAlreadyExists: DB instance already exists",
            "creating EC2 VPC: https response error StatusCode: 503",
            "creating EC2 VPC: request send failed, Post: EOF",
            "Plugin did not respond",
            "Two interrupts received",
            "operation error EC2: CreateVpc, context canceled",
        ] {
            assert!(lost(summary), "{summary}");
        }
        assert!(may_have_lost(&[]), "it says nothing");
    }

    fn error(summary: &str, detail: &str) -> Diagnostic {
        Diagnostic {
            severity: "error".to_owned(),
            summary: summary.to_owned(),
            detail: detail.to_owned(),
            address: Some("aws_vpc.this".to_owned()),
            range: None,
        }
    }

    #[test]
    fn throttling_timeouts_and_eventual_consistency_are_retried() {
        for summary in [
            "creating EC2 VPC: operation error EC2: CreateVpc, api error RequestLimitExceeded: Request limit exceeded.",
            "waiting for EKS Cluster (x) create: timeout while waiting for state to become 'ACTIVE'",
            "deleting EC2 Subnet (subnet-1): api error DependencyViolation: has dependencies",
            "creating EKS Cluster (x): api error InvalidParameterException: Role with arn: r, could not be assumed because it does not exist or the trusted entity is not correct",
            "Post \"https://eks.eu-south-2.amazonaws.com/\": dial tcp: lookup eks: no such host",
            "https response error StatusCode: 503, RequestID: 1, api error ServiceUnavailable",
            "https response error StatusCode: 502, RequestID: , deserialization failed, invalid character '<'",
            "https response error StatusCode: 429, RequestID: 1, api error UnknownError: UnknownError",
            "reading IAM Role (x): ServiceFailure: try again, status code: 500, request id: 1",
            "putting Secrets Manager Secret value: api error InternalServiceError: An error occurred",
            "Saved plan is stale",
        ] {
            assert_eq!(judge(&[error(summary, "")]).unwrap().class, Class::Transient, "{summary}");
        }
    }

    #[test]
    fn one_permanent_error_makes_the_failure_permanent() {
        let errors = [
            error("api error Throttling: Rate exceeded", ""),
            error("api error UnauthorizedOperation: not allowed", ""),
        ];
        let error = judge(&errors).unwrap();
        assert_eq!(error.class, Class::Permanent);
        assert_eq!(
            error.to_string(),
            "aws_vpc.this: api error Throttling: Rate exceeded\n\
             aws_vpc.this: api error UnauthorizedOperation: not allowed"
        );
    }

    #[test]
    fn an_existing_resource_is_a_conflict_with_a_fix() {
        let error = judge(&[error(
            "creating IAM Role (x): api error EntityAlreadyExists: Role x already exists.",
            "",
        )]);
        let error = error.unwrap();
        assert_eq!(error.class, Class::Conflict);
        assert!(error.hint.unwrap().contains("terraform import 'aws_vpc.this' ID"));
    }

    #[test]
    fn warnings_are_no_failure() {
        let warning = Diagnostic { severity: "warning".to_owned(), ..error("Deprecated", "") };
        assert!(judge(&[warning]).is_none());
    }

    #[test]
    fn a_folder_that_lost_its_initialisation_is_recognised() {
        assert!(wants_init(&[error("Backend initialization required, please run \"terraform init\"", "")]));
        assert!(wants_init(&[error("Module not installed", "This module is not yet installed.")]));
        assert!(!wants_init(&[error("Invalid value for variable", "")]));
    }
}
