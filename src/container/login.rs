//! A registry's login, and its renewal after a refusal.
//!
//! A login may expire while it is in use: ECR's lasts 12 hours but never longer than the credentials that
//! requested it.

use std::future::Future;

use secrecy::SecretString;
use url::Url;

use crate::task::{Error, Result};

/// Credentials for a registry.
#[derive(Debug, Clone)]
pub struct Login {
    /// The registry's URL.
    pub endpoint: Url,
    pub user: String,
    pub password: SecretString,
}

/// Why a registry did not fulfil a request.
#[derive(Debug)]
pub enum Failure {
    /// It refused the login, with this message.
    Login(String),
    Other(Error),
}

impl Failure {
    /// What was being done, to be read after "failed to".
    pub(super) fn doing(self, what: &str) -> Self {
        let doing = format!("failed to {what}");
        match self {
            Self::Login(message) => Self::Login(format!("{doing}: {message}")),
            Self::Other(Error { class, source, hint }) => {
                Self::Other(Error { class, source: source.context(doing), hint })
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Login(message) => Self::permanent(message).with_hint(
                "allow the AWS principal to pull from ECR in one region and to push to it in the other",
            ),
            Failure::Other(error) => error,
        }
    }
}

/// Whether an engine's message means that a registry refused the login. There are three sources: a 401 of the
/// distribution API, ECR's 403, and an engine that had no credentials to send.
pub(super) fn is_refusal(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let signs = ["unauthorized", "no basic auth credentials", "denied", "authorization token has expired"];
    signs.iter().any(|sign| message.contains(sign))
}

/// Runs `work` with a fresh login, and a second time with another one if the first is refused.
///
/// # Errors
/// Those of `login` and of `work`; a second refusal is permanent.
pub async fn with_login<L, T, Requesting, Working>(
    mut login: impl FnMut() -> Requesting,
    mut work: impl FnMut(L) -> Working,
) -> Result<T>
where
    Requesting: Future<Output = Result<L>>,
    Working: Future<Output = Result<T, Failure>>,
{
    match work(login().await?).await {
        Err(Failure::Login(_)) => {}
        done => return done.map_err(Error::from),
    }
    work(login().await?).await.map_err(Error::from)
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::{Failure, is_refusal, with_login};
    use crate::task::{Class, Error};

    #[test]
    fn a_refused_login_is_recognised_by_its_message() {
        assert!(is_refusal("unauthorized: authentication required"));
        assert!(is_refusal("denied: Your authorization token has expired. Reauthenticate and try again."));
        assert!(is_refusal("no basic auth credentials"));
        assert!(!is_refusal("dial tcp 10.0.0.1:443: connect: connection refused"));
        assert!(!is_refusal("name unknown: The repository with name 'x' does not exist"));
    }

    #[tokio::test]
    async fn a_refused_login_is_renewed_once() {
        let mut logins = 0;
        let login = || {
            logins += 1;
            ready(Ok(logins))
        };
        let work = |login: i32| {
            ready(if login == 1 { Err(Failure::Login("expired".to_owned())) } else { Ok("pushed") })
        };
        assert_eq!(with_login(login, work).await.unwrap(), "pushed");
        assert_eq!(logins, 2);
    }

    #[tokio::test]
    async fn a_second_refusal_is_final() {
        let work = |()| ready(Err::<(), _>(Failure::Login("denied".to_owned())));
        let error = with_login(|| ready(Ok(())), work).await.unwrap_err();
        assert_eq!((error.class, error.to_string().as_str()), (Class::Permanent, "denied"));
        assert!(error.hint.unwrap().contains("ECR"));
    }

    #[tokio::test]
    async fn another_failure_requests_no_new_login() {
        let mut logins = 0;
        let login = || {
            logins += 1;
            ready(Ok(()))
        };
        let work = |()| ready(Err::<(), _>(Failure::Other(Error::transient("reset"))));
        assert_eq!(with_login(login, work).await.unwrap_err().class, Class::Transient);
        assert_eq!(logins, 1);
    }
}
