//! The connections for payments: bounded, warm, and replaced when they are old or suspicious.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{Manager, Metrics, Object, Pool as ManagedPool, RecycleError, RecycleResult};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::connection::Connection;
use super::endpoint::Endpoint;
use super::error::DatabaseError;
use super::login::Login;

/// Connections kept open when idle, so that the first payments do not wait for TLS handshakes.
const WARM_CONNECTIONS: usize = 4;
/// The ages at which connections are replaced. Only new connections follow DNS changes, such as after a failover. Each has
/// another age, or all that were opened together would be replaced together.
const LIFETIMES: std::ops::Range<Duration> = Duration::from_mins(12)..Duration::from_mins(15);

/// A statement's parameters with their types. With the types known, a statement takes one round trip.
pub type Parameters<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// Limits of the payment pool.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub max_connections: usize,
    /// How long opening a connection may take. A handshake across zones takes some ten milliseconds.
    pub connect: Duration,
    /// How long a request may wait for a connection. Short, so that overload fails fast.
    pub wait: Duration,
    /// How long a statement may take. Longer than the `statement_timeout` of the role, so that a slow database
    /// reports itself. Only a connection that no longer carries data reaches it.
    pub answer: Duration,
    /// How long all of that may take together, with its repetitions. A drain waits for it.
    pub total: Duration,
}

/// Why open connections may no longer be usable.
#[derive(Debug, Clone, Copy)]
pub enum Doubt {
    /// One of them got no answer to what was asked on it at this instant. Others that have answered since then most likely
    /// carry data, and a payment on one that does not fails in time.
    Silent(Instant),
    /// They may lead to a server that is no longer the primary.
    Failover,
}

/// The newest doubts.
#[derive(Debug, Default)]
struct Doubts {
    /// Connections of which nothing was heard since are not used again.
    silent: Option<Instant>,
    /// Connections that were opened before are not used again.
    failover: Option<Instant>,
}

/// A connection of the pool.
pub struct Pooled {
    connection: Connection,
    expires: Instant,
}

impl From<Connection> for Pooled {
    fn from(connection: Connection) -> Self {
        let expires = connection.opened() + rand::random_range(LIFETIMES);
        Self { connection, expires }
    }
}

/// Opens connections with the credentials in use.
pub struct Connector {
    pub endpoint: Endpoint,
    pub login: Login,
    limit: Duration,
    doubts: RwLock<Doubts>,
    /// Opened in advance. The pool takes one of them before it opens another one.
    spare: Mutex<Vec<Pooled>>,
}

impl Connector {
    pub fn new(endpoint: Endpoint, login: Login, limit: Duration) -> Self {
        Self { endpoint, login, limit, doubts: RwLock::default(), spare: Mutex::default() }
    }

    /// Opens a connection. If the login is rejected, reloads the credentials and retries once.
    pub async fn open(&self) -> Result<Connection, DatabaseError> {
        let login = self.login.current();
        match Connection::open(&self.endpoint, login.as_ref(), self.limit).await {
            Err(error) if error.is_login_rejected() && self.login.renew(login.as_ref()) => {
                Connection::open(&self.endpoint, self.login.current().as_ref(), self.limit).await
            }
            outcome => outcome,
        }
    }

    fn is_usable(&self, pooled: &Pooled) -> bool {
        let doubts = self.doubts.read().unwrap_or_else(PoisonError::into_inner);
        let connection = &pooled.connection;
        !connection.is_closed()
            && Instant::now() < pooled.expires
            && doubts.silent.is_none_or(|since| connection.heard() > since)
            && doubts.failover.is_none_or(|since| connection.opened() > since)
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Pooled>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_spare(&self) -> Option<Pooled> {
        let mut spare = self.spare();
        std::iter::from_fn(|| spare.pop()).find(|pooled| self.is_usable(pooled))
    }
}

/// Lets the pool share the connector with the pulse.
pub struct Shared(Arc<Connector>);

impl Manager for Shared {
    type Type = Pooled;
    type Error = DatabaseError;

    async fn create(&self) -> Result<Pooled, DatabaseError> {
        match self.0.take_spare() {
            Some(pooled) => Ok(pooled),
            None => self.0.open().await.map(Pooled::from),
        }
    }

    async fn recycle(&self, pooled: &mut Pooled, _: &Metrics) -> RecycleResult<DatabaseError> {
        if self.0.is_usable(pooled) {
            Ok(())
        } else {
            Err(RecycleError::message("the connection is closed, old or suspicious"))
        }
    }
}

pub struct Pool {
    connector: Arc<Connector>,
    connections: ManagedPool<Shared>,
    limits: Limits,
}

impl Pool {
    pub fn new(connector: Arc<Connector>, limits: Limits) -> Self {
        let connections = ManagedPool::builder(Shared(Arc::clone(&connector)))
            .max_size(limits.max_connections)
            .wait_timeout(Some(limits.wait))
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a pool with a runtime can be built");
        Self { connector, connections, limits }
    }

    /// Runs one statement as its own transaction.
    ///
    /// A statement whose connection broke is repeated once on a new connection, so it must be one that has the same
    /// effect when it runs twice.
    pub async fn query(
        &self,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, DatabaseError> {
        let outcome = tokio::time::timeout(self.limits.total, self.repeated(statement, parameters)).await;
        outcome.unwrap_or(Err(DatabaseError::Silent(self.limits.total)))
    }

    async fn repeated(&self, statement: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, DatabaseError> {
        let mut lease = self.lease().await?;
        let login = self.connector.login.current();
        match self.attempt(&lease, statement, parameters).await {
            Err(error) if error.is_connection_lost() => {
                // A proxy logs in to the database when the first statement arrives, and may be rejected only then. Its
                // error looks like that of a server connection that it has lost, so the statement is repeated in any case.
                if error.is_login_rejected() {
                    self.connector.login.renew(login.as_ref());
                }
                // Other idle connections broke with this one, so a new one is opened in its place.
                tracing::info!("a database connection was lost, repeating the statement: {error}");
                lease.replace(self.connector.open().await?);
                let repeated = self.attempt(&lease, statement, parameters).await;
                lease.settle(repeated)
            }
            outcome => lease.settle(outcome),
        }
    }

    async fn attempt(
        &self,
        lease: &Lease,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, DatabaseError> {
        let answer = lease.connection().query_typed(statement, parameters);
        match tokio::time::timeout(self.limits.answer, answer).await {
            Ok(outcome) => {
                let outcome = outcome.map_err(DatabaseError::from);
                let is_answered = match &outcome {
                    Ok(_) => true,
                    Err(error) => error.code().is_some(),
                };
                if is_answered {
                    lease.connection().note_answer();
                }
                outcome
            }
            Err(_) => Err(DatabaseError::Silent(self.limits.answer)),
        }
    }

    async fn lease(&self) -> Result<Lease, DatabaseError> {
        match self.connections.get().await.map_err(DatabaseError::from) {
            Ok(object) => Ok(Lease(Some(object))),
            Err(DatabaseError::Busy(_)) => Err(DatabaseError::Busy(self.limits.wait)),
            Err(error) => Err(error),
        }
    }

    /// Closes connections that are old or suspicious, and opens as many as are kept warm.
    pub async fn keep_warm(&self) -> Result<(), DatabaseError> {
        self.close_unusable();
        while self.connector.spare().len() < self.most_spare() {
            let opened = self.connector.open().await?;
            let mut spare = self.connector.spare();
            // Payments may have opened others meanwhile.
            if spare.len() < self.most_spare() {
                spare.push(opened.into());
            }
        }
        Ok(())
    }

    /// How many spare connections keep the pool warm, beside those that it has.
    fn most_spare(&self) -> usize {
        WARM_CONNECTIONS.min(self.limits.max_connections).saturating_sub(self.connections.status().size)
    }

    /// Closes connections of this pool that are old or suspicious, and none of the spare ones, which are another pool's.
    pub fn retain_usable(&self) {
        self.connections.retain(|pooled, _| self.connector.is_usable(pooled));
    }

    fn close_unusable(&self) {
        self.retain_usable();
        let mut spare = self.connector.spare();
        spare.retain(|pooled| self.connector.is_usable(pooled));
        // Those that payments were opening when a spare one was added count only now.
        spare.truncate(self.most_spare());
    }

    /// Stops using the open connections that a doubt concerns.
    pub fn distrust(&self, doubt: Doubt) {
        {
            let mut doubts = self.connector.doubts.write().unwrap_or_else(PoisonError::into_inner);
            match doubt {
                Doubt::Silent(since) => doubts.silent = Some(since),
                Doubt::Failover => doubts.failover = Some(Instant::now()),
            }
        }
        self.close_unusable();
    }

    /// Connections: (in use, idle).
    pub fn connections(&self) -> (usize, usize) {
        let status = self.connections.status();
        let spare = self.connector.spare().len();
        (status.size.saturating_sub(status.available), status.available + spare)
    }

    pub fn close(&self) {
        self.connections.close();
        self.connector.spare().clear();
    }
}

/// A connection taken from the pool. Returned to it by [`Lease::settle`], and closed otherwise: after a time-out or a
/// cancelled request, its answer would reach the next user.
struct Lease(Option<Object<Shared>>);

impl Lease {
    fn connection(&self) -> &Connection {
        &self.0.as_ref().expect("the connection is there until `settle` or `drop`").connection
    }

    fn replace(&mut self, connection: Connection) {
        if let Some(object) = &mut self.0 {
            **object = connection.into();
        }
    }

    /// Returns the connection to the pool unless `outcome` says that it can no longer be used.
    fn settle<T>(mut self, outcome: Result<T, DatabaseError>) -> Result<T, DatabaseError> {
        let is_usable = match &outcome {
            Ok(_) => true,
            // 25006: this connection leads to a server that accepts no writes, which a failover may have left behind.
            Err(error) => !error.is_connection_lost() && error.code().is_some_and(|code| code != "25006"),
        };
        if is_usable {
            drop(self.0.take());
        }
        outcome
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}
