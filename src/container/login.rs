//! A registry's login, and the one more that a refusal is worth.

use std::future::Future;

use secrecy::SecretString;
use url::Url;

use crate::task::{Error, Result};

/// What a registry lets somebody in by.
#[derive(Debug, Clone)]
pub struct Login {
    /// The registry's address, with its scheme.
    pub endpoint: Url,
    pub user: String,
    pub password: SecretString,
}

/// Why a registry did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// It refuses the login, in these words.
    Login(String),
    Other(Error),
}

impl Failure {
    /// What was being done, to be read after "failed to".
    pub(super) fn doing(self, what: &str) -> Self {
        let doing = format!("failed to {what}");
        match self {
            Self::Login(said) => Self::Login(format!("{doing}: {said}")),
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
            Failure::Login(said) => Self::permanent(said).with_hint(
                "check that the AWS credentials may pull from ECR in one region and push to it in the other",
            ),
            Failure::Other(error) => error,
        }
    }
}

/// Whether an engine's message says that a registry refused the login. They come from three places:
/// distribution's 401, ECR's 403, and an engine that had nothing to send.
pub(super) fn is_refusal(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let signs = ["unauthorized", "no basic auth credentials", "denied", "authorization token has expired"];
    signs.iter().any(|sign| message.contains(sign))
}

/// Does `work` with a login made just before, and once more with a new one if the first is refused.
///
/// # Errors
/// Those of `login` and of `work`; a second refusal is permanent.
pub async fn with_login<L, T, Asking, Working>(
    mut login: impl FnMut() -> Asking,
    mut work: impl FnMut(L) -> Working,
) -> Result<T>
where
    Asking: Future<Output = Result<L>>,
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
    fn refusals_of_a_login_are_known_by_their_words() {
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
    async fn another_failure_asks_for_no_new_login() {
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
