//! Lends AWS credentials to the children of a run, which never get a copy of the run's own.
//!
//! 1. The run listens on a socket of this machine that has a name and no file (`serve`). It answers only processes of its own
//!    user.
//! 2. A child gets an AWS configuration (`settings`) in which `credential_process` is paydeploy itself, and the name of
//!    that socket. All AWS SDKs know this setting. No other credential is in the child's environment.
//! 3. The process that an SDK starts (`ask`) prints what the run answers: credentials that are valid now. So a child that
//!    works for hours gets new ones whenever the run has new ones, whatever their source is.
//! 4. When the run has ended, a child keeps what it has.
//!
//! The configuration has no secret. It is written to `.paydeploy/aws-config`, over that of an earlier run: its children may
//! as well ask this one.

mod ask;
mod serve;
mod settings;

use std::{
    ffi::OsString,
    fs, io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
    path::Path,
};

pub use ask::helper;
use aws_credential_types::provider::SharedCredentialsProvider;

use crate::task::{ErrorExt as _, Result};

/// Its name in the child's configuration.
const PROFILE: &str = "paydeploy";

/// A run that lends its credentials. It ends when this is dropped.
#[derive(Debug)]
pub struct Lender {
    /// The environment of a child.
    pub variables: Vec<(OsString, OsString)>,
    serving: tokio::task::AbortHandle,
}

impl Lender {
    /// Starts to lend. The configuration of children is written to `folder`.
    ///
    /// # Errors
    /// When the socket cannot be opened, or the configuration cannot be written.
    pub fn start(source: Option<SharedCredentialsProvider>, folder: &Path) -> Result<Self> {
        let name = format!("paydeploy-{}-{:016x}", std::process::id(), rand::random::<u64>());
        let listener = listen(&name).doing("open the socket on which children ask for AWS credentials")?;
        let serving = tokio::spawn(serve::serve(listener, source)).abort_handle();
        let path = std::path::absolute(folder)?.join("aws-config");
        let text = settings::of_a_child(&ask::command(&name), |name| std::env::var_os(name));
        // Whole or not at all: a child of an earlier run may read it.
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            io::Write::write_all(&mut file, text.as_bytes())?;
            file.persist(&path).map_err(|error| error.error)
        };
        fs::create_dir_all(folder).and_then(|()| write()).doing(format!("write `{}`", path.display()))?;
        let variables = [
            ("AWS_CONFIG_FILE", path.into_os_string()),
            ("AWS_PROFILE", PROFILE.into()),
            ("AWS_SDK_LOAD_CONFIG", "1".into()),
            // The user's own would take precedence over the profile of this name, if there is one.
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".into()),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value)).into();
        Ok(Self { variables, serving })
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn address(name: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(name)
}

fn listen(name: &str) -> io::Result<tokio::net::UnixListener> {
    let listener = UnixListener::bind_addr(&address(name)?)?;
    listener.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(listener)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use aws_credential_types::Credentials;

    use super::*;

    /// What a child of a run with this source is told.
    async fn asked(source: Option<Credentials>) -> std::result::Result<serde_json::Value, String> {
        let name = format!("paydeploy-test-{:016x}", rand::random::<u64>());
        let source = source.map(SharedCredentialsProvider::new);
        let serving = tokio::spawn(serve::serve(listen(&name).unwrap(), source));
        let answer = tokio::task::spawn_blocking(move || ask::ask(&name)).await.unwrap();
        serving.abort();
        answer.map(|answer| serde_json::from_str(&answer).unwrap()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_child_gets_credentials_in_the_format_of_a_credential_process() {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let credentials = Credentials::new("AKID", "secret", Some("token".to_owned()), Some(end), "test");
        let answer = asked(Some(credentials)).await.unwrap();
        let expected = serde_json::json!({
            "Version": 1, "AccessKeyId": "AKID", "SecretAccessKey": "secret", "SessionToken": "token",
            "Expiration": "2027-01-15T08:00:00Z",
        });
        assert_eq!(answer, expected);
        let forever = asked(Some(Credentials::new("AKID", "secret", None, None, "test"))).await.unwrap();
        assert_eq!(forever.as_object().unwrap().len(), 3, "no session and no end: {forever}");
    }

    #[tokio::test]
    async fn a_child_is_told_why_there_are_no_credentials() {
        assert_eq!(asked(None).await.unwrap_err(), "no AWS credentials were found");
    }

    #[test]
    fn a_child_of_a_run_that_has_ended_is_told_so() {
        let error = ask::ask("paydeploy-that-does-not-run").unwrap_err();
        assert!(error.to_string().contains("the run that started this process has ended"), "{error}");
    }

    #[tokio::test]
    async fn a_child_gets_no_secret_in_its_environment_and_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = Credentials::new("AKID", "a-secret", None, None, "test");
        let lender = Lender::start(Some(SharedCredentialsProvider::new(credentials)), folder.path()).unwrap();
        let config = fs::read_to_string(folder.path().join("aws-config")).unwrap();
        assert!(config.starts_with("[profile paydeploy]\ncredential_process = /proc/"), "{config}");
        assert!(!format!("{config}{:?}", lender.variables).contains("a-secret"));
    }
}
