//! The service's connections to PostgreSQL: bounded pools that survive password rotations and work behind
//! pooling proxies.
//!
//! Behind a proxy in transaction mode, each transaction may run on a different server connection. Therefore
//! nothing here outlives a transaction:
//!
//! - Statements are unnamed.
//! - Statements with parameters run between BEGIN and COMMIT: they take two round trips, which must reach the
//!   same server connection.
//! - Statements without parameters use the simple protocol, which takes one round trip.
//! - No session variable is set. `migrate` sets the timeouts on the role.

mod endpoint;
mod pulse;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Postgres, Transaction};
use tokio::sync::Mutex;

pub use self::endpoint::{Credentials, Endpoint, is_login_rejected};
pub use self::pulse::Pulse;
use crate::secret::{SecretError, SecretFolder};

pub const USERNAME: &str = "DB_USERNAME";
pub const PASSWORD: &str = "DB_PASSWORD";

/// Connections kept open when idle, so that the first payment does not wait for a TLS handshake.
const WARM_CONNECTIONS: u32 = 2;
/// The maximum age of a connection. Only new connections follow DNS changes, such as after a failover.
const MAX_LIFETIME: Duration = Duration::from_mins(15);

/// The address of the database and the credentials for it.
pub enum Source {
    /// One URL with everything in it, as in the legacy service. A rotated password needs a restart.
    Url(Box<PgConnectOptions>),
    /// An endpoint, and credentials from files that are reloaded when they change.
    Files { endpoint: Endpoint, folder: SecretFolder, credentials: Credentials },
}

impl Source {
    /// `host:port/database`, which is safe to log.
    pub fn place(&self) -> String {
        match self {
            Self::Url(options) => {
                let name = options.get_database().unwrap_or_else(|| options.get_username());
                format!("{}:{}/{name}", options.get_host(), options.get_port())
            }
            Self::Files { endpoint, .. } => endpoint.to_string(),
        }
    }
}

pub struct Database {
    place: String,
    files: Option<(Endpoint, SecretFolder)>,
    payments: PgPool,
    /// One dedicated connection for the probes, so that a busy pool does not look like a database outage.
    probe: PgPool,
    probe_statement: &'static str,
    login: Mutex<Login>,
    pulse: Mutex<Option<Pulse>>,
}

/// Limits of the payment pool.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub max_connections: u32,
    /// How long a request may wait for a connection. Short, so that overload fails fast.
    pub wait: Duration,
}

/// The current credentials, and how often they have changed.
struct Login {
    credentials: Option<Credentials>,
    generation: u64,
}

impl Database {
    /// Connects in the background. The database counts as reachable while `probe_statement` succeeds.
    pub fn open(source: Source, limits: Limits, probe_statement: &'static str) -> Self {
        let place = source.place();
        let (options, files, credentials) = match source {
            Source::Url(options) => (*options, None, None),
            Source::Files { endpoint, folder, credentials } => {
                (endpoint.options(&credentials), Some((endpoint, folder)), Some(credentials))
            }
        };
        let options = endpoint::fit_for_proxies(options);
        let pool = PgPoolOptions::new().acquire_timeout(limits.wait).max_lifetime(MAX_LIFETIME);
        let payments = pool
            .clone()
            .max_connections(limits.max_connections)
            .min_connections(WARM_CONNECTIONS.min(limits.max_connections));
        // With a minimum of one, the pool's background task connects. Otherwise each probe that times out
        // would abort a slow handshake, and the next one would start it again.
        let probe = pool.max_connections(1).min_connections(1);
        Self {
            place,
            files,
            payments: payments.connect_lazy_with(options.clone()),
            probe: probe.connect_lazy_with(options),
            probe_statement,
            login: Mutex::new(Login { credentials, generation: 0 }),
            pulse: Mutex::new(None),
        }
    }

    /// Starts a transaction. If the login is rejected, reloads the credentials and retries once.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let generation = self.login.lock().await.generation;
        match self.payments.begin().await {
            Err(error) if is_login_rejected(&error) && self.renew_login(generation).await => {
                self.payments.begin().await
            }
            outcome => outcome,
        }
    }

    /// Reads the credential files again and applies them; returns whether they had changed.
    pub async fn reload_credentials(&self) -> Result<bool, SecretError> {
        let mut login = self.login.lock().await;
        self.reload_into(&mut login)
    }

    /// The folder to watch for changed credentials; `None` if they cannot change.
    pub fn secret_folder(&self) -> Option<&SecretFolder> {
        self.files.as_ref().map(|(_, folder)| folder)
    }

    /// Connections of the payment pool: (in use, idle).
    pub fn connections(&self) -> (u32, u32) {
        let idle = u32::try_from(self.payments.num_idle()).unwrap_or(u32::MAX);
        (self.payments.size().saturating_sub(idle), idle)
    }

    /// Closes idle connections immediately and the others when they are returned.
    pub async fn close(&self) {
        self.payments.close().await;
        self.probe.close().await;
    }

    /// Reloads the credentials, unless another task has done so since `generation`. Returns whether they are
    /// newer than those of `generation`.
    async fn renew_login(&self, generation: u64) -> bool {
        let mut login = self.login.lock().await;
        if login.generation != generation {
            return true;
        }
        self.reload_into(&mut login).unwrap_or_else(|error| {
            tracing::error!("{error}; keeping the current credentials");
            false
        })
    }

    fn reload_into(&self, login: &mut Login) -> Result<bool, SecretError> {
        let Some((endpoint, folder)) = &self.files else { return Ok(false) };
        let credentials = Credentials::read(folder, USERNAME, PASSWORD)?;
        if login.credentials.as_ref() == Some(&credentials) {
            return Ok(false);
        }
        let options = endpoint::fit_for_proxies(endpoint.options(&credentials));
        self.payments.set_connect_options(options.clone());
        self.probe.set_connect_options(options);
        login.credentials = Some(credentials);
        login.generation += 1;
        tracing::info!("database credentials reloaded");
        Ok(true)
    }
}
