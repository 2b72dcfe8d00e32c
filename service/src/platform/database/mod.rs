//! The service's connections to PostgreSQL. They survive password rotations and failovers, and work behind pooling
//! proxies.
//!
//! Behind a proxy in transaction mode, each transaction may run on a different server connection. Therefore nothing
//! here outlives a transaction:
//!
//! - A statement is unnamed, and its parameters carry their types. It is parsed, bound and executed in one round trip
//!   and is its own transaction.
//! - No session variable is set. `migrate` sets the timeouts on the role.
//!
//! A connection that a device on the way has forgotten accepts data and never answers, and neither the kernel nor the
//! driver notices. Three limits find it: every statement has a time limit, the check of `pulse` replaces those that are
//! silent when new ones answer, and TCP's own timers end connections to hosts that disappeared.

mod connection;
mod endpoint;
mod error;
mod login;
mod pool;
mod pulse;
mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_postgres::Row;

pub use self::connection::Connection;
pub use self::endpoint::{Credentials, Endpoint};
pub use self::error::DatabaseError;
use self::login::Login;
use self::pool::{Connector, Doubt, Pool};
pub use self::pool::{Limits, Parameters};
use crate::platform::secret::{SecretError, SecretFolder};

pub const USERNAME: &str = "DB_USERNAME";
pub const PASSWORD: &str = "DB_PASSWORD";

/// The time between two checks that enough connections are open.
const WARM_PERIOD: Duration = Duration::from_secs(1);
/// How long a request waits for the first check after the start. Shorter than the two seconds that the chart gives a
/// probe.
const FIRST_PULSE: Duration = Duration::from_millis(1500);

/// Connections for what goes on beside requests. Requests cannot take them, however many there are: keys must be read and
/// unanswered operations looked up just when there is too much to do.
const BACKGROUND_CONNECTIONS: usize = 2;

/// Which connections a statement uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    Requests,
    Background,
}

/// The address of the database and the credentials for it.
pub enum Source {
    /// One URL with everything in it, as in the legacy service. A rotated password needs a restart.
    Url(Endpoint),
    /// An endpoint, and credentials from files that are reloaded when they change.
    Files { endpoint: Endpoint, folder: SecretFolder, credentials: Credentials },
}

impl Source {
    /// `host:port/database`, which is safe to log.
    pub fn place(&self) -> String {
        match self {
            Self::Url(endpoint) | Self::Files { endpoint, .. } => endpoint.to_string(),
        }
    }
}

/// The result of a check.
#[derive(Debug, Clone, Copy)]
pub struct Pulse {
    pub is_up: bool,
    /// False on a standby, and on a primary that has been set to read-only.
    pub is_writable: bool,
    /// The duration of the probe statement, or of the whole attempt if it failed.
    pub latency: Duration,
    /// When the last check started that found a database which accepts payments; `None` before the first one.
    pub last_usable: Option<Instant>,
}

impl Pulse {
    /// Whether the database can store payments.
    pub fn is_usable(&self) -> bool {
        self.is_up && self.is_writable
    }
}

pub struct Database {
    place: String,
    connector: Arc<Connector>,
    pool: Pool,
    background: Pool,
    probe_statement: &'static str,
    pulse: watch::Receiver<Option<Pulse>>,
}

impl Database {
    /// Connects in the background. The database counts as reachable while `probe_statement` succeeds, and as writable
    /// unless its first column is `on`. What works in the background is added to `tasks`.
    pub fn open(
        source: Source,
        limits: Limits,
        probe_statement: &'static str,
        tasks: &mut JoinSet<()>,
    ) -> Arc<Self> {
        let place = source.place();
        let (endpoint, login) = match source {
            Source::Url(endpoint) => (endpoint, Login::of_url()),
            Source::Files { endpoint, folder, credentials } => {
                (endpoint, Login::of_files(folder, credentials))
            }
        };
        let connector = Arc::new(Connector::new(endpoint, login, limits.connect));
        let pool = Pool::new(Arc::clone(&connector), limits);
        let few = Limits { max_connections: BACKGROUND_CONNECTIONS, ..limits };
        let background = Pool::new(Arc::clone(&connector), few);
        let (sender, pulse) = watch::channel(None);
        let database = Arc::new(Self { place, connector, pool, background, probe_statement, pulse });
        tasks.spawn(pulse::watch(Arc::clone(&database), sender));
        tasks.spawn(keep_warm(Arc::clone(&database)));
        database
    }

    /// Runs one statement as its own transaction. It is repeated once if its connection breaks, so it must have
    /// the same effect when it runs twice.
    pub async fn query(
        &self,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, DatabaseError> {
        self.query_in(Lane::Requests, statement, parameters).await
    }

    /// As [`Database::query`], on the connections for requests or those for everything else.
    pub async fn query_in(
        &self,
        lane: Lane,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, DatabaseError> {
        match lane {
            Lane::Requests => self.pool.query(statement, parameters).await,
            Lane::Background => self.background.query(statement, parameters).await,
        }
    }

    /// Stops using the open connections that a doubt concerns.
    fn distrust(&self, doubt: Doubt) {
        self.pool.distrust(doubt);
        self.background.retain_usable();
    }

    /// The result of the last check. Waits for the first one, but not for a database that does not answer.
    pub async fn pulse(&self) -> Pulse {
        let mut pulse = self.pulse.clone();
        let first = tokio::time::timeout(FIRST_PULSE, pulse.wait_for(Option::is_some)).await;
        let first = first.ok().and_then(Result::ok).and_then(|pulse| *pulse);
        first.unwrap_or(Pulse { is_up: false, is_writable: false, latency: FIRST_PULSE, last_usable: None })
    }

    /// The result of the last check; `None` before the first one.
    pub fn last_pulse(&self) -> Option<Pulse> {
        *self.pulse.borrow()
    }

    /// Reads the credential files again; returns whether they had changed. New connections use them.
    pub fn reload_credentials(&self) -> Result<bool, SecretError> {
        self.connector.login.reload()
    }

    /// The folder to watch for changed credentials; `None` if they cannot change.
    pub fn secret_folder(&self) -> Option<&SecretFolder> {
        self.connector.login.folder()
    }

    /// Connections of the payment pool: (in use, idle).
    pub fn connections(&self) -> (usize, usize) {
        self.pool.connections()
    }

    /// Closes idle connections immediately and the others when they are returned.
    pub fn close(&self) {
        self.pool.close();
        self.background.close();
    }
}

/// Keeps connections open. Never returns. A separate task, so that a slow handshake does not delay the checks.
async fn keep_warm(database: Arc<Database>) {
    let mut ticks = tokio::time::interval(WARM_PERIOD);
    // After an outage in which each attempt took seconds, those that were missed are not made up for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        database.background.retain_usable();
        if let Err(error) = database.pool.keep_warm().await {
            // The checks report the same outage once, and not every second.
            tracing::debug!("failed to open a database connection in advance: {error}");
        }
    }
}
