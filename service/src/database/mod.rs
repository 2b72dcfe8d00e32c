//! The service's connections to PostgreSQL: bounded pools that survive a rotated password and a pooling proxy.
//!
//! Behind a proxy in transaction mode each transaction may run on another server connection. So nothing here
//! outlives a transaction: statements are unnamed, those with parameters run between BEGIN and COMMIT (they
//! take two round trips, which must meet the same server), those without use the simple protocol, and no
//! session variable is ever set: `migrate` gives the role its timeouts.

mod endpoint;
mod pulse;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Postgres, Transaction};
use tokio::sync::Mutex;

pub use self::endpoint::{Credentials, Endpoint, is_refused_login};
pub use self::pulse::Pulse;
use crate::secret::{SecretError, SecretFolder};

pub const USERNAME: &str = "DB_USERNAME";
pub const PASSWORD: &str = "DB_PASSWORD";

/// Connections kept open while nothing happens, so that a first payment pays no TLS handshake.
const WARM_CONNECTIONS: u32 = 2;
/// The longest a connection lives: DNS changes, proxies and failovers are noticed by new ones.
const MAX_LIFETIME: Duration = Duration::from_mins(15);

/// Where the database is and how to log in there.
pub enum Source {
    /// One URL with everything in it, as the legacy service had it; a rotated password needs a restart.
    Url(Box<PgConnectOptions>),
    /// An endpoint, and credentials from files that are read again when they change.
    Files { endpoint: Endpoint, folder: SecretFolder, credentials: Credentials },
}

impl Source {
    /// `host:port/database`: what may be logged.
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
    /// One connection of its own for the pulse, so that a busy service is not taken for one without a database.
    probe: PgPool,
    probe_statement: &'static str,
    login: Mutex<Login>,
    pulse: Mutex<Option<Pulse>>,
}

/// What the payments' pool may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub max_connections: u32,
    /// How long a request may wait for a connection: the load balancer should hear "no" soon.
    pub wait: Duration,
}

/// The credentials in force, and how often they changed.
struct Login {
    credentials: Option<Credentials>,
    generation: u64,
}

impl Database {
    /// Connects when first needed. `probe_statement` must succeed for the database to count as reachable.
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
        // the pool's own task opens it, so a slow handshake is not begun anew by each impatient probe
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

    /// A transaction; logs in with newer credentials if the database refuses those in force.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let generation = self.login.lock().await.generation;
        match self.payments.begin().await {
            Err(error) if is_refused_login(&error) && self.renew_login(generation).await => {
                self.payments.begin().await
            }
            outcome => outcome,
        }
    }

    /// Reads the credential files again and puts what is new there in force; says whether anything was.
    pub async fn reload_credentials(&self) -> Result<bool, SecretError> {
        let mut login = self.login.lock().await;
        self.reload_into(&mut login)
    }

    /// Where the credentials come from, if they can change.
    pub fn secret_folder(&self) -> Option<&SecretFolder> {
        self.files.as_ref().map(|(_, folder)| folder)
    }

    /// Connections of the payments' pool: (in use, idle).
    pub fn connections(&self) -> (u32, u32) {
        let idle = u32::try_from(self.payments.num_idle()).unwrap_or(u32::MAX);
        (self.payments.size().saturating_sub(idle), idle)
    }

    /// Closes idle connections at once and the others as they come back.
    pub async fn close(&self) {
        self.payments.close().await;
        self.probe.close().await;
    }

    /// Whether another login than that of `generation` is in force now.
    async fn renew_login(&self, generation: u64) -> bool {
        let mut login = self.login.lock().await;
        if login.generation != generation {
            return true;
        }
        self.reload_into(&mut login).unwrap_or_else(|error| {
            tracing::error!("{error}; keeping the credentials in force");
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
