//! EKS bearer tokens without the AWS CLI: a presigned STS call, which EKS executes to identify the caller.
//!
//! 1. `GetCallerIdentity` is presigned with the run's credentials. The cluster's name is a signed header, so
//!    that a token for one cluster is invalid for another.
//! 2. The token is `k8s-aws-v1.` and the presigned URL in unpadded base64url, which is
//!    aws-iam-authenticator's format.
//!
//! The URL names STS in the cluster's own region, whatever endpoint paydeploy itself is configured to use.
//! EKS makes the call, and tokens for the global endpoint are invalid in opt-in regions.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::{Credentials, provider::ProvideCredentials};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};

use crate::task::{Class, Error, ErrorExt, Result};

/// The prefix by which EKS recognises the format.
const PREFIX: &str = "k8s-aws-v1.";
/// EKS accepts a token for 15 minutes after it was signed, whatever expiry the URL contains. The last minute is kept in
/// reserve for the request's own time and for clocks that differ; `aws eks get-token` reports 14 minutes as
/// well.
pub(super) const LIFETIME: Duration = Duration::from_mins(14);
/// `X-Amz-Expires` of the presigned URL. EKS goes by [`LIFETIME`] instead, but servers up to
/// aws-iam-authenticator 0.3 accept at most 60 seconds here.
const EXPIRES: Duration = Duration::from_mins(1);
/// A token is renewed when less than this remains, so that it does not expire on its way to the API server.
pub(super) const RENEW_BEFORE: Duration = Duration::from_mins(1);
/// The header that binds a token to one cluster.
const CLUSTER_HEADER: &str = "x-k8s-aws-id";

/// A bearer token for one cluster.
#[derive(Debug, Clone)]
pub struct Token {
    pub secret: SecretString,
    pub expires: SystemTime,
    /// Whether its credentials end, so that their source had to be asked for them.
    pub is_of_a_session: bool,
}

impl Token {
    /// Whether the token will still be valid a minute from now.
    pub fn lasts(&self, now: SystemTime) -> bool {
        now + RENEW_BEFORE < self.expires
    }

    /// The JSON that kubectl expects from an exec plugin on its standard output.
    pub fn exec_credential(&self) -> String {
        let expires = jiff::Timestamp::try_from(self.expires)
            .expect("the system clock is within the calendar")
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string();
        serde_json::json!({
            "apiVersion": EXEC_API,
            "kind": "ExecCredential",
            "spec": {},
            "status": { "expirationTimestamp": expires, "token": self.secret.expose_secret() },
        })
        .to_string()
    }
}

/// The API version of [`Token::exec_credential`]: that of `aws eks get-token`, which every supported kubectl
/// accepts.
pub const EXEC_API: &str = "client.authentication.k8s.io/v1beta1";

/// A token for `cluster`, signed with the credentials and for the region of `aws`.
pub async fn token(aws: &SdkConfig, cluster: &str, now: SystemTime) -> Result<Token> {
    let region = aws.region().ok_or_else(|| Error::permanent("no AWS region is set"))?;
    let provider = aws.credentials_provider().ok_or_else(no_credentials)?;
    let credentials = provider.provide_credentials().await.map_err(|error| {
        use aws_credential_types::provider::error::CredentialsError::{
            CredentialsNotLoaded, ProviderError, ProviderTimedOut,
        };
        // A provider that failed or timed out (IMDS, SSO, a role's STS call) may work on a retry. Wrong
        // configuration will not.
        match error {
            CredentialsNotLoaded(_) => no_credentials(),
            ProviderTimedOut(_) | ProviderError(_) => Error::new(Class::Transient, error),
            _ => Error::new(Class::Permanent, error),
        }
    });
    let credentials = credentials.doing("get AWS credentials")?;
    presigned(credentials, region.as_ref(), cluster, now)
        .doing(format!("sign a token for cluster `{cluster}`"))
}

fn no_credentials() -> Error {
    Error::permanent("no AWS credentials were found")
        .with_hint("set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
}

fn presigned(credentials: Credentials, region: &str, cluster: &str, now: SystemTime) -> Result<Token> {
    let url = format!("https://{}/?Action=GetCallerIdentity&Version=2011-06-15", sts_host(region));
    let end = credentials.expiry();
    if end.is_some_and(|end| end <= now) {
        return Err(Error::transient("the AWS credentials have ended")
            .with_hint("get fresh AWS credentials, or correct this machine's clock"));
    }
    let identity = credentials.into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(EXPIRES);
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("sts")
        .time(now)
        .settings(settings)
        .build()?
        .into();
    let headers = [(CLUSTER_HEADER, cluster)];
    let request = SignableRequest::new("GET", &url, headers.into_iter(), SignableBody::Bytes(&[]))?;
    let (instructions, _) = sign(request, &params)?.into_parts();
    let mut request = http::Request::get(url).body(())?;
    instructions.apply_to_request_http1x(&mut request);
    let secret = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(request.uri().to_string()));
    // STS refuses a request that was signed with a session that has ended.
    let expires = end.map_or(now + LIFETIME, |end| end.min(now + LIFETIME));
    Ok(Token { secret: secret.into(), expires, is_of_a_session: end.is_some() })
}

/// STS in a region, by the partition's own domain.
fn sts_host(region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("sts.{region}.{domain}")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::UNIX_EPOCH};

    use super::*;

    fn at_noon() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_750_000_000)
    }

    fn signed(session: Option<&str>) -> (url::Url, Token) {
        signed_until(session, None)
    }

    fn signed_until(session: Option<&str>, end: Option<SystemTime>) -> (url::Url, Token) {
        let credentials =
            Credentials::new("AKIDEXAMPLE", "a/secret+key", session.map(Into::into), end, "test");
        let token = presigned(credentials, "eu-south-2", "payments-spain", at_noon()).unwrap();
        let url = BASE64_URL_SAFE_NO_PAD.decode(token.secret.expose_secret().strip_prefix(PREFIX).unwrap());
        (String::from_utf8(url.unwrap()).unwrap().parse().unwrap(), token)
    }

    #[test]
    fn a_token_is_a_presigned_call_to_the_regional_sts_that_signs_the_clusters_name() {
        let (url, _) = signed(None);
        let query: BTreeMap<_, _> = url.query_pairs().collect();
        assert_eq!(url.host_str(), Some("sts.eu-south-2.amazonaws.com"));
        assert_eq!(query["Action"], "GetCallerIdentity");
        assert_eq!(query["X-Amz-SignedHeaders"], "host;x-k8s-aws-id");
        assert_eq!(query["X-Amz-Expires"], "60");
        assert_eq!(query["X-Amz-Credential"], "AKIDEXAMPLE/20250615/eu-south-2/sts/aws4_request");
        assert_eq!(query["X-Amz-Signature"].len(), 64);
        assert!(!query.contains_key("X-Amz-Security-Token"));
    }

    #[test]
    fn a_session_token_is_signed_too() {
        let (with, _) = signed(Some("a session/with+signs="));
        let (without, _) = signed(None);
        let signature = |url: &url::Url| {
            url.query_pairs().find(|(key, _)| key == "X-Amz-Signature").unwrap().1.into_owned()
        };
        let query: BTreeMap<_, _> = with.query_pairs().collect();
        assert_eq!(query["X-Amz-Security-Token"], "a session/with+signs=");
        assert_ne!(signature(&with), signature(&without));
    }

    #[test]
    fn a_token_expires_a_minute_before_eks_refuses_it_and_is_renewed_a_minute_earlier() {
        let (_, token) = signed(None);
        assert_eq!(token.expires, at_noon() + Duration::from_mins(14));
        assert!(token.lasts(at_noon() + Duration::from_mins(12)));
        assert!(!token.lasts(at_noon() + Duration::from_mins(13)));
    }

    #[test]
    fn a_token_ends_with_the_session_that_signed_it() {
        let end = at_noon() + Duration::from_mins(3);
        let (_, token) = signed_until(Some("session"), Some(end));
        assert_eq!((token.expires, token.is_of_a_session), (end, true));
        let ended = Credentials::new("AKIDEXAMPLE", "x", Some("session".to_owned()), Some(at_noon()), "test");
        let error = presigned(ended, "eu-south-2", "payments-spain", at_noon()).unwrap_err();
        assert_eq!((error.class, error.hint.is_some()), (Class::Transient, true));
        let (_, token) = signed_until(Some("session"), Some(at_noon() + Duration::from_hours(1)));
        assert_eq!(token.expires, at_noon() + Duration::from_mins(14));
    }

    #[test]
    fn the_credential_for_kubectl_carries_its_expiry() {
        let (_, token) = signed(None);
        let credential: serde_json::Value = serde_json::from_str(&token.exec_credential()).unwrap();
        assert_eq!(credential["kind"], "ExecCredential");
        assert_eq!(credential["status"]["expirationTimestamp"], "2025-06-15T15:20:40Z");
        assert_eq!(credential["status"]["token"], token.secret.expose_secret());
    }

    #[test]
    fn a_token_is_not_visible_in_debug_output() {
        let (_, token) = signed(None);
        assert!(!format!("{token:?}").contains(PREFIX));
    }
}
