//! Direct connections, as the master user and as the migrator.

use std::time::{Duration, Instant};

use super::MigrateError;
use super::settings::Settings;
use crate::platform::database::{Connection, Credentials, DatabaseError};

/// How long rejected logins are retried: a rotated password reaches the pod's Secret some time after it takes
/// effect in the database.
const REJECTED_WAIT: Duration = Duration::from_secs(30);
/// The pause after the first attempt. Each further pause is twice as long, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// The limit of one attempt, so that a host that drops packets does not use up the whole wait. Generous, because later
/// logins are not repeated and a login takes two key derivations on a server that may be busy.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// An attempt gets this long even where the whole wait is shorter: a server that is slow has not refused to answer.
const SHORTEST_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error("the database `{place}` did not answer within {wait:?}: {cause}")]
    Unreachable { place: String, wait: Duration, cause: String },
    #[error(
        "the certificate of `{place}` is not trusted: {cause}; fix: use a host name of the certificate, and \
         put its authority into DATABASE_CA_FILE"
    )]
    Untrusted { place: String, cause: DatabaseError },
    #[error("`{place}` rejected the login of `{username}`: {cause}")]
    Rejected { place: String, username: String, cause: DatabaseError },
}

/// Logs in as the master user. Waits for the database and reads the secret again before each attempt.
pub async fn as_master(settings: &Settings) -> Result<Connection, MigrateError> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let credentials = settings.master()?;
        let error = match connect(settings, &credentials).await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let waited = started.elapsed();
        if error.is_login_rejected() && waited >= REJECTED_WAIT.min(settings.wait) {
            return Err(rejected(settings, &credentials, error).into());
        }
        if error.is_untrusted() {
            return Err(LoginError::Untrusted { place: settings.endpoint.to_string(), cause: error }.into());
        }
        if !is_transient(&error) {
            return Err(MigrateError::Sql { what: "connect as the master user", cause: error });
        }
        if waited >= settings.wait {
            let (place, wait) = (settings.endpoint.to_string(), settings.wait);
            return Err(LoginError::Unreachable { place, wait, cause: error.to_string() }.into());
        }
        tracing::info!(database = %settings.endpoint, "waiting for the database: {error}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// Logs in as the migrator, once: its role exists already. The role's settings, such as its timeouts, apply.
pub async fn as_migrator(settings: &Settings, credentials: &Credentials) -> Result<Connection, MigrateError> {
    match connect(settings, credentials).await {
        Ok(connection) => Ok(connection),
        Err(error) if error.is_login_rejected() => Err(rejected(settings, credentials, error).into()),
        Err(cause) => Err(MigrateError::Sql { what: "connect as the migrator", cause }),
    }
}

/// Whether the database accepts these credentials.
pub async fn is_accepted(settings: &Settings, credentials: &Credentials) -> Result<bool, MigrateError> {
    match connect(settings, credentials).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_login_rejected() => Ok(false),
        Err(cause) => Err(MigrateError::Sql { what: "check a role's password", cause }),
    }
}

async fn connect(settings: &Settings, credentials: &Credentials) -> Result<Connection, DatabaseError> {
    let limit = CONNECT_LIMIT.min(settings.wait.max(SHORTEST_LIMIT));
    Connection::open(&settings.endpoint, Some(credentials), limit).await
}

/// Whether a retry may help: the database is unreachable, starting up (57P03) or out of connections (53300),
/// or the password is being rotated.
fn is_transient(error: &DatabaseError) -> bool {
    matches!(error, DatabaseError::Silent(_))
        || error.is_connection_lost()
        || error.is_login_rejected()
        || matches!(error.code(), Some("57P03" | "53300"))
}

fn rejected(settings: &Settings, credentials: &Credentials, cause: DatabaseError) -> LoginError {
    LoginError::Rejected {
        place: settings.endpoint.to_string(),
        username: credentials.username.clone(),
        cause,
    }
}
