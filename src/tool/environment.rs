//! Which of our own environment variables a child inherits.
//!
//! Credentials are not among them. Terraform borrows those of AWS ([`super::Command::with_aws`]). Git runs hooks and
//! helpers of the repository and of the user, and needs no AWS; Helm gets a token for one cluster instead.

use std::ffi::{OsStr, OsString};

/// The user's surroundings: locations of programs, home and temporary files, proxies, trusted certificates,
/// SSH. Any other variable (a `TF_VAR_…`, a `KUBECONFIG`) would make a run depend on the shell that started
/// it.
const NAMES: [&str; 20] = [
    "ALL_PROXY",
    "DOCKER_CONFIG",
    "GIT_SSH_COMMAND",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "LOGNAME",
    "NO_PROXY",
    "PATH",
    "SSH_AUTH_SOCK",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "USER",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// Locale, and the base directories that tools keep their configuration in.
const PREFIXES: [&str; 2] = ["LC_", "XDG_"];
/// How AWS is called. Others may be credentials, also such that only older SDKs read.
const AWS: [&str; 15] = [
    "AWS_CA_BUNDLE",
    "AWS_DEFAULT_REGION",
    "AWS_DEFAULTS_MODE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_MAX_ATTEMPTS",
    "AWS_REGION",
    "AWS_REQUEST_CHECKSUM_CALCULATION",
    "AWS_RESPONSE_CHECKSUM_VALIDATION",
    "AWS_RETRY_MODE",
    "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT",
    "AWS_SDK_UA_APP_ID",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
];
/// The endpoints of all services, or of one.
const ENDPOINT: &str = "AWS_ENDPOINT_URL";

pub(super) fn chosen(
    all: impl IntoIterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    all.into_iter().filter(|(name, _)| is_chosen(name))
}

/// The variables that say how AWS is called, and not as whom.
pub(super) fn aws(
    all: impl IntoIterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    let is_setting = |name: &str| AWS.contains(&name) || name.starts_with(ENDPOINT);
    all.into_iter().filter(move |(name, _)| name.to_str().is_some_and(is_setting))
}

fn is_chosen(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{aws, chosen};

    fn all() -> impl Iterator<Item = (OsString, OsString)> {
        [
            "AWS_ACCESS_KEY",
            "AWS_BEARER_TOKEN_BEDROCK",
            "AWS_CA_BUNDLE",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN",
            "AWS_ENDPOINT_URL_S3",
            "AWS_PROFILE",
            "AWS_SECRET_ACCESS_KEY",
            "https_proxy",
            "PATH",
            "TF_VAR_role",
            "TF_CLI_ARGS",
            "KUBECONFIG",
            "HELM_DEBUG",
        ]
        .into_iter()
        .map(|name| (name.into(), "x".into()))
    }

    fn names(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<String> {
        variables.map(|(name, _)| name.into_string().expect("these are plain names")).collect()
    }

    #[test]
    fn a_child_inherits_proxies_but_no_credentials_and_no_variables_that_steer_tools() {
        assert_eq!(names(chosen(all())), ["https_proxy", "PATH"]);
    }

    #[test]
    fn a_child_that_calls_aws_gets_its_settings_and_no_credentials() {
        assert_eq!(names(aws(all())), ["AWS_CA_BUNDLE", "AWS_ENDPOINT_URL_S3"]);
    }
}
