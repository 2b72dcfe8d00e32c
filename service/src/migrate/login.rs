//! Direct connections, as the master user and as the roles that it made.

use std::time::{Duration, Instant};

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::MigrateError;
use super::roles::Role;
use super::settings::Settings;
use crate::database::{Credentials, is_refused_login};

/// A new Secret may reach the pod a while after the password that it holds is in force.
const REFUSED_WAIT: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A host that drops packets must not use up the whole wait at one try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error("`{place}` did not answer within {wait:?}: {cause}")]
    Unreachable { place: String, wait: Duration, cause: String },
    #[error(
        "`{place}` does not prove that it is that host: {cause}; DATABASE_CA_FILE names who vouches for it"
    )]
    Untrusted { place: String, cause: sqlx::Error },
    #[error("`{place}` refuses to log in `{username}`: {cause}")]
    Refused { place: String, username: String, cause: sqlx::Error },
}

/// Waits for the database, reading the secret again before each try.
pub async fn as_master(settings: &Settings) -> Result<PgConnection, MigrateError> {
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let credentials = settings.master()?;
        let error = match connect(settings, settings.endpoint.options(&credentials)).await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let waited = begun.elapsed();
        if is_refused_login(&error) && waited >= REFUSED_WAIT.min(settings.wait) {
            return Err(refused(settings, &credentials, error).into());
        }
        if is_untrusted(&error) {
            return Err(LoginError::Untrusted { place: settings.endpoint.to_string(), cause: error }.into());
        }
        if !may_pass(&error) {
            return Err(MigrateError::Sql { what: "connect as the master user", cause: error });
        }
        if waited >= settings.wait {
            let (place, wait) = (settings.endpoint.to_string(), settings.wait);
            return Err(LoginError::Unreachable { place, wait, cause: error.to_string() }.into());
        }
        tracing::info!(database = %settings.endpoint, "waiting for the database: {error}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// As a role that was made just now; with the settings of a migration where that is the migrator.
pub async fn as_role(settings: &Settings, role: &Role) -> Result<PgConnection, MigrateError> {
    let options = settings.endpoint.options(&role.login);
    match connect(settings, options).await {
        Ok(connection) => Ok(connection),
        Err(error) if is_refused_login(&error) => Err(refused(settings, &role.login, error).into()),
        Err(cause) => Err(MigrateError::Sql { what: "connect as the migrator", cause }),
    }
}

/// Whether these credentials open the database now.
pub async fn works(settings: &Settings, credentials: &Credentials) -> Result<bool, MigrateError> {
    match connect(settings, settings.endpoint.options(credentials)).await {
        Ok(connection) => {
            sqlx::Connection::close(connection).await.ok();
            Ok(true)
        }
        Err(error) if is_refused_login(&error) => Ok(false),
        Err(cause) => Err(MigrateError::Sql { what: "try a role's password", cause }),
    }
}

async fn connect(settings: &Settings, options: PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    // what is there already is no news
    let options = options.options([("client_min_messages", "warning")]);
    let timeout = CONNECT_TIMEOUT.min(settings.wait.max(Duration::from_secs(1)));
    match tokio::time::timeout(timeout, options.connect()).await {
        Ok(outcome) => outcome,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// What rustls finds wrong with a certificate comes as invalid data; broken connections do not.
fn is_untrusted(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
        sqlx::Error::Tls(_) => true,
        _ => false,
    }
}

/// Whether trying again may help: not there yet, starting up, out of connections, a password on its way.
fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(database) => {
            is_refused_login(error) || matches!(database.code().as_deref(), Some("57P03" | "53300"))
        }
        _ => false,
    }
}

fn refused(settings: &Settings, credentials: &Credentials, cause: sqlx::Error) -> LoginError {
    LoginError::Refused {
        place: settings.endpoint.to_string(),
        username: credentials.username.clone(),
        cause,
    }
}
