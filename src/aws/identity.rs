//! The account and principal of the credentials in use.

use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError};

use super::classify;
use crate::task::{Class, Error, ErrorExt, Result};

const FIX: &str = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws sso login`";

/// The caller, according to STS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub account: String,
    pub principal: Principal,
}

/// An IAM principal, by its ARN without a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    User(String),
    Role(String),
    /// The account's root user or a federated user, to which a cluster cannot grant access.
    Other(String),
}

/// Asks STS in the region of `aws`, and IAM for the full name of a role.
pub async fn identity(aws: &SdkConfig) -> Result<Identity> {
    credentials(aws).await?;
    let caller = aws_sdk_sts::Client::new(aws).get_caller_identity().send().await.map_err(classify);
    let caller =
        caller.doing("get the identity of the AWS credentials").map_err(|error| match error.hint {
            None if error.class == Class::Permanent => error.with_hint(FIX),
            _ => error,
        })?;
    let account = caller.account().unwrap_or_default().to_owned();
    let mut principal = principal(caller.arn().unwrap_or_default());
    if let Principal::Role(arn) = &mut principal
        && let Some(full) = full_name(aws, arn).await?
    {
        *arn = full;
    }
    Ok(Identity { account, principal })
}

/// Checks that there are credentials. Without any, STS's own error would be an unclear dispatch failure.
async fn credentials(aws: &SdkConfig) -> Result<()> {
    let missing = || Error::permanent("no AWS credentials were found").with_hint(FIX);
    let provider = aws.credentials_provider().ok_or_else(missing)?;
    match provider.provide_credentials().await {
        Ok(_) => Ok(()),
        Err(CredentialsError::CredentialsNotLoaded(_)) => Err(missing()),
        Err(error @ CredentialsError::ProviderTimedOut(_)) => Err(Error::transient(error)),
        Err(error) => Err(error).doing("get AWS credentials").hint(FIX),
    }
}

/// A role's ARN with its path, which a session's ARN leaves out and a cluster's access entry requires.
async fn full_name(aws: &SdkConfig, arn: &str) -> Result<Option<String>> {
    let Some((_, name)) = arn.rsplit_once('/') else { return Ok(None) };
    match aws_sdk_iam::Client::new(aws).get_role().role_name(name).send().await.map_err(classify) {
        Ok(role) => Ok(role.role().map(|role| role.arn().to_owned())),
        Err(error) if error.class == Class::Transient => Err(error).doing(format!("read the role `{name}`")),
        // The call may be denied, and most roles have no path.
        Err(_) => Ok(None),
    }
}

/// The principal behind a caller's ARN.
fn principal(arn: &str) -> Principal {
    let mut parts = arn.splitn(6, ':');
    let (partition, service) = (parts.nth(1).unwrap_or_default(), parts.next().unwrap_or_default());
    let (account, resource) = (parts.nth(1).unwrap_or_default(), parts.next().unwrap_or_default());
    match (service, resource.split_once('/')) {
        ("sts", Some(("assumed-role", session))) => {
            let role = session.split_once('/').map_or(session, |(role, _)| role);
            Principal::Role(format!("arn:{partition}:iam::{account}:role/{role}"))
        }
        ("iam", Some(("role", _))) => Principal::Role(arn.to_owned()),
        ("iam", Some(("user", _))) => Principal::User(arn.to_owned()),
        _ => Principal::Other(arn.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Principal, principal};

    #[test]
    fn a_session_is_reduced_to_its_role() {
        let role = Principal::Role("arn:aws:iam::123456789012:role/deployer".to_owned());
        assert_eq!(principal("arn:aws:sts::123456789012:assumed-role/deployer/ci-7"), role);
    }

    #[test]
    fn a_user_is_its_own_principal() {
        let arn = "arn:aws:iam::123456789012:user/people/ana";
        assert_eq!(principal(arn), Principal::User(arn.to_owned()));
    }

    #[test]
    fn a_cluster_cannot_grant_access_to_the_root_user_or_a_federated_user() {
        let arn = "arn:aws:iam::123456789012:root";
        assert_eq!(principal(arn), Principal::Other(arn.to_owned()));
        let arn = "arn:aws:sts::123456789012:federated-user/ana";
        assert_eq!(principal(arn), Principal::Other(arn.to_owned()));
    }
}
