//! `payment-api migrate`: creates or updates the roles, the schema and the tables. Idempotent.
//!
//! It connects to the database directly, because a proxy in transaction mode has no session that could hold
//! an advisory lock. The master user needs CREATEROLE and must own the database, as on RDS. It need not be a
//! superuser.

mod grants;
mod login;
mod migration;
mod residency;
mod roles;
mod schema;
mod scram;
mod settings;
mod sql;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use self::login::LoginError;
use self::migration::MigrationError;
pub use self::migration::{Migration, apply_pending};
use self::roles::Role;
use self::settings::Settings;
use crate::platform::database::{Connection, DatabaseError};
use crate::platform::environment::Environment;
use crate::platform::secret::SecretError;
use crate::platform::signals::Signals;

/// The key of the advisory lock that keeps migrations from running concurrently: "payments" in ASCII.
const LOCK: i64 = 0x7061_796d_656e_7473;
const LOCK_POLL: Duration = Duration::from_millis(250);

#[derive(Debug, thiserror::Error)]
enum MigrateError {
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Password(#[from] scram::PasswordError),
    #[error("failed to {what}: {cause}")]
    Sql { what: &'static str, cause: DatabaseError },
    #[error(transparent)]
    Migration(#[from] MigrationError),
    #[error(
        "the database holds the payments of `{found}` and not of `{wanted}`; fix: correct REGION or the host"
    )]
    ForeignDatabase { found: String, wanted: String },
    #[error("another migration has held the lock for {0:?}")]
    Locked(Duration),
    #[error("the session that held the migration lock has ended; fix: run the migration again")]
    LockLost,
    #[error("timed out after {0:?} (MIGRATE_TIMEOUT_SECONDS)")]
    Deadline(Duration),
    #[error("interrupted by {0}")]
    Interrupted(&'static str),
    #[error("failed to install signal handlers: {0}")]
    Signals(std::io::Error),
}

impl MigrateError {
    /// 1: a step failed. 2: wrong configuration. 3: the database did not answer. 4: the login was rejected or
    /// the certificate is not trusted. 143: interrupted.
    fn exit_code(&self) -> u8 {
        match self {
            Self::Secret(_) | Self::Password(_) | Self::ForeignDatabase { .. } => 2,
            Self::Login(LoginError::Unreachable { .. }) => 3,
            Self::Login(LoginError::Rejected { .. } | LoginError::Untrusted { .. }) => 4,
            Self::Interrupted(_) => 143,
            _ => 1,
        }
    }
}

/// Adds the purpose of an SQL statement to its error: "failed to `what`".
trait Purpose<T> {
    fn to(self, what: &'static str) -> Result<T, MigrateError>;
}

impl<T, E: Into<DatabaseError>> Purpose<T> for Result<T, E> {
    fn to(self, what: &'static str) -> Result<T, MigrateError> {
        self.map_err(|cause| MigrateError::Sql { what, cause: cause.into() })
    }
}

pub async fn run(environment: &Environment) -> ExitCode {
    let settings = match Settings::read(environment) {
        Ok(settings) => settings,
        Err(problems) => {
            for problem in problems {
                tracing::error!("{problem}");
            }
            return ExitCode::from(2);
        }
    };
    let started = Instant::now();
    match guarded(&settings).await {
        Ok(()) => {
            tracing::info!(seconds = started.elapsed().as_secs_f64(), "database is ready");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(database = %settings.endpoint, "migration failed: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Runs the migration until it ends, times out or is interrupted. PostgreSQL rolls back open transactions.
async fn guarded(settings: &Settings) -> Result<(), MigrateError> {
    let mut signals = Signals::listen().map_err(MigrateError::Signals)?;
    tokio::select! {
        outcome = tokio::time::timeout(settings.timeout, migrate(settings)) => {
            outcome.unwrap_or(Err(MigrateError::Deadline(settings.timeout)))
        }
        signal = signals.next() => Err(MigrateError::Interrupted(signal)),
    }
}

async fn migrate(settings: &Settings) -> Result<(), MigrateError> {
    let master = login::as_master(settings).await?;
    lock(&master, settings.lock_wait).await?;
    tokio::select! {
        // In this order, a statement of that session that failed is named.
        biased;
        outcome = migrate_alone(settings, &master) => outcome,
        () = master.ended() => Err(MigrateError::LockLost),
    }
    // The lock is released when the master's session ends.
}

/// What only one migration may do at a time. It stops when it is dropped: a server notices within a second that its client
/// is gone.
async fn migrate_alone(settings: &Settings, master: &Connection) -> Result<(), MigrateError> {
    let migrator = Role::migrator(settings.migrator()?);
    let app = Role::app(settings.app()?);
    for role in [&migrator, &app] {
        roles::ensure(master, role).await?;
    }
    schema::ensure(master, &migrator, &app).await?;
    for role in [&migrator, &app] {
        roles::ensure_password(master, settings, role).await?;
    }

    schema::migrate(settings, &migrator.login).await?;
    let owner = login::as_migrator(settings, &migrator.login).await?;
    residency::ensure(&owner, settings.region.as_deref()).await?;
    grants::apply(&owner, &app).await
}

async fn lock(master: &Connection, wait: Duration) -> Result<(), MigrateError> {
    let started = Instant::now();
    let mut is_first_try = true;
    while started.elapsed() < wait {
        let row = master.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await;
        let is_taken = row.and_then(|row| row.try_get(0)).to("take the migration lock")?;
        if is_taken {
            return Ok(());
        }
        if std::mem::take(&mut is_first_try) {
            tracing::info!("waiting for another migration to finish");
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
    Err(MigrateError::Locked(wait))
}
