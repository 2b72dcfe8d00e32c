//! Lends AWS credentials to the children of a run, which never get a copy of the run's own.
//!
//! 1. The run listens on a socket in `.paydeploy` that only its user may open (`serve`). A path keeps out what an abstract
//!    name would not: the containers of a pod share their network and often their user, but not their files.
//! 2. A child gets an AWS configuration (`settings`) in which `credential_process` is paydeploy itself, and the socket's path
//!    in a variable. All AWS SDKs know this setting. No credential is in the child's environment.
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
    fs::{self, File, Permissions},
    io,
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

pub use ask::helper;
use aws_credential_types::provider::SharedCredentialsProvider;
pub(super) use settings::{config_file, user_sets};
use tokio::net::UnixListener;

use crate::task::{ErrorExt as _, Result};

/// Its name in the child's configuration.
const PROFILE: &str = "paydeploy";
/// The variable in which a child finds the socket.
const SOCKET: &str = "PAYDEPLOY_CREDENTIALS";

/// A run that lends its credentials. It ends when this is dropped.
#[derive(Debug)]
pub struct Lender {
    /// The environment of a child.
    pub variables: Vec<(OsString, OsString)>,
    socket: PathBuf,
    serving: tokio::task::AbortHandle,
}

impl Lender {
    /// Starts to lend. The socket and the configuration of children are in `folder`, which one run has at a time.
    ///
    /// # Errors
    /// When the socket cannot be opened, or the configuration cannot be written.
    pub fn start(source: Option<SharedCredentialsProvider>, folder: &Path) -> Result<Self> {
        let folder = std::path::absolute(folder)?;
        fs::create_dir_all(&folder).doing(format!("create `{}`", folder.display()))?;
        let socket = folder.join("credentials");
        let listener = listen(&socket).doing(format!("listen on `{}`", socket.display()))?;
        let path = folder.join("aws-config");
        let text = settings::of_a_child(&ask::command(), |name| std::env::var_os(name));
        // Whole or not at all: a child of an earlier run may read it.
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&folder)?;
            io::Write::write_all(&mut file, text.as_bytes())?;
            file.persist(&path).map_err(|error| error.error)
        };
        write().doing(format!("write `{}`", path.display()))?;
        let serving = tokio::spawn(serve::serve(listener, source)).abort_handle();
        let variables = [
            ("AWS_CONFIG_FILE", path.into_os_string()),
            ("AWS_PROFILE", PROFILE.into()),
            ("AWS_SDK_LOAD_CONFIG", "1".into()),
            // The user's own would take precedence over the profile of this name, if there is one.
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".into()),
            (SOCKET, socket.clone().into_os_string()),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value)).into();
        Ok(Self { variables, socket, serving })
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        self.serving.abort();
        // One that remains is replaced by the next run.
        drop(fs::remove_file(&self.socket));
    }
}

/// A short path of a socket, which is valid as long as the file is open: the address of a socket has at most 108 bytes.
fn short(socket: &Path) -> io::Result<(File, PathBuf)> {
    let folder = File::open(socket.parent().unwrap_or(Path::new("/")))?;
    let name = socket.file_name().unwrap_or_default();
    let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    Ok((folder, path))
}

fn listen(socket: &Path) -> io::Result<UnixListener> {
    let (_folder, path) = short(socket)?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use aws_credential_types::Credentials;

    use super::*;

    /// What a child of a run with this source gets.
    async fn asked(source: Option<Credentials>) -> std::result::Result<serde_json::Value, String> {
        let dir = tempfile::tempdir().unwrap();
        // Longer than the address of a socket.
        let folder = dir.path().join("a-checkout".repeat(12));
        let lender = Lender::start(source.map(SharedCredentialsProvider::new), &folder).unwrap();
        let socket = lender.socket.clone();
        assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
        let answer = tokio::task::spawn_blocking(move || ask::ask(&socket)).await.unwrap();
        let socket = lender.socket.clone();
        drop(lender);
        assert!(!socket.exists());
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
    async fn a_child_learns_why_there_are_no_credentials() {
        assert_eq!(asked(None).await.unwrap_err(), "no AWS credentials were found");
    }

    #[test]
    fn a_child_of_a_run_that_has_ended_learns_it() {
        let error = ask::ask(Path::new("/nonexistent/credentials")).unwrap_err();
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
