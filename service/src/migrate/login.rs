//! Direct connections, as the master user and as the migrator.

use std::time::{Duration, Instant};

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::MigrateError;
use super::settings::Settings;
use crate::database::{Credentials, is_login_rejected};

/// How long rejected logins are retried: a rotated password reaches the pod's Secret some time after it takes
/// effect in the database.
const REJECTED_WAIT: Duration = Duration::from_secs(30);
/// The pause after the first attempt. Each further pause is twice as long, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// The limit of one attempt, so that a host that drops packets does not use up the whole wait.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error("the database `{place}` did not answer within {wait:?}: {cause}")]
    Unreachable { place: String, wait: Duration, cause: String },
    #[error(
        "the certificate of `{place}` is not trusted: {cause}; fix: use a host name of the certificate, and \
         put its authority into DATABASE_CA_FILE"
    )]
    Untrusted { place: String, cause: sqlx::Error },
    #[error("`{place}` rejected the login of `{username}`: {cause}")]
    Rejected { place: String, username: String, cause: sqlx::Error },
}

/// Logs in as the master user. Waits for the database and reads the secret again before each attempt.
pub async fn as_master(settings: &Settings) -> Result<PgConnection, MigrateError> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let credentials = settings.master()?;
        let error = match connect(settings, settings.endpoint.options(&credentials)).await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let waited = started.elapsed();
        if is_login_rejected(&error) && waited >= REJECTED_WAIT.min(settings.wait) {
            return Err(rejected(settings, &credentials, error).into());
        }
        if is_untrusted(&error) {
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
pub async fn as_migrator(
    settings: &Settings,
    credentials: &Credentials,
) -> Result<PgConnection, MigrateError> {
    match connect(settings, settings.endpoint.options(credentials)).await {
        Ok(connection) => Ok(connection),
        Err(error) if is_login_rejected(&error) => Err(rejected(settings, credentials, error).into()),
        Err(cause) => Err(MigrateError::Sql { what: "connect as the migrator", cause }),
    }
}

/// Whether the database accepts these credentials.
pub async fn is_accepted(settings: &Settings, credentials: &Credentials) -> Result<bool, MigrateError> {
    match connect(settings, settings.endpoint.options(credentials)).await {
        Ok(connection) => {
            // The result is known already, so an error while closing the connection does not matter.
            sqlx::Connection::close(connection).await.ok();
            Ok(true)
        }
        Err(error) if is_login_rejected(&error) => Ok(false),
        Err(cause) => Err(MigrateError::Sql { what: "check a role's password", cause }),
    }
}

async fn connect(settings: &Settings, options: PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    // Without this, every IF NOT EXISTS of an existing object would log a notice.
    let options = options.options([("client_min_messages", "warning")]);
    let timeout = CONNECT_TIMEOUT.min(settings.wait.max(Duration::from_secs(1)));
    match tokio::time::timeout(timeout, options.connect()).await {
        Ok(outcome) => outcome,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// rustls reports an invalid certificate as invalid data; a broken connection has another error kind.
fn is_untrusted(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
        sqlx::Error::Tls(_) => true,
        _ => false,
    }
}

/// Whether a retry may help: the database is unreachable, starting up (57P03) or out of connections (53300),
/// or the password is being rotated.
fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(database) => {
            is_login_rejected(error) || matches!(database.code().as_deref(), Some("57P03" | "53300"))
        }
        _ => false,
    }
}

fn rejected(settings: &Settings, credentials: &Credentials, cause: sqlx::Error) -> LoginError {
    LoginError::Rejected {
        place: settings.endpoint.to_string(),
        username: credentials.username.clone(),
        cause,
    }
}
