//! The connections for payments: bounded, warm, and replaced when they are old or suspicious.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{
    Manager, Metrics, Object, Pool as ManagedPool, RecycleError, RecycleResult, Timeouts,
};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::connection::Connection;
use super::endpoint::Endpoint;
use super::error::DatabaseError;
use super::login::Login;

/// Connections kept open when idle, so that the first payments do not wait for TLS handshakes.
const WARM_CONNECTIONS: usize = 4;
/// The maximum age of a connection. Only new connections follow DNS changes, such as after a failover.
const MAX_LIFETIME: Duration = Duration::from_mins(15);

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
}

/// Opens connections with the credentials in use.
pub struct Connector {
    pub endpoint: Endpoint,
    pub login: Login,
    limit: Duration,
    /// Connections that were opened before this instant are not used again.
    distrusted: RwLock<Option<Instant>>,
}

impl Connector {
    pub fn new(endpoint: Endpoint, login: Login, limit: Duration) -> Self {
        Self { endpoint, login, limit, distrusted: RwLock::new(None) }
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

    fn is_usable(&self, connection: &Connection, metrics: Metrics) -> bool {
        let distrusted = *self.distrusted.read().unwrap_or_else(PoisonError::into_inner);
        !connection.is_closed()
            && metrics.age() < MAX_LIFETIME
            && distrusted.is_none_or(|instant| metrics.created > instant)
    }
}

/// Lets the pool share the connector with the pulse.
pub struct Shared(Arc<Connector>);

impl Manager for Shared {
    type Type = Connection;
    type Error = DatabaseError;

    async fn create(&self) -> Result<Connection, DatabaseError> {
        self.0.open().await
    }

    async fn recycle(&self, connection: &mut Connection, metrics: &Metrics) -> RecycleResult<DatabaseError> {
        if self.0.is_usable(connection, *metrics) {
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
        let mut lease = self.lease().await?;
        let login = self.connector.login.current();
        match self.attempt(&lease, statement, parameters).await {
            Err(error) if error.is_connection_lost() => {
                // A proxy logs in to the database when the first statement arrives, and may be rejected only then.
                if error.is_login_rejected() && !self.connector.login.renew(login.as_ref()) {
                    return lease.settle(Err(error));
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
            Ok(outcome) => Ok(outcome?),
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
        self.connections.retain(|connection, metrics| self.connector.is_usable(connection, metrics));
        // The pool opens a connection only when none is idle, so all of them are taken at the same time. A connection
        // that is not free immediately is in use, and therefore warm.
        let immediately = Timeouts { wait: Some(Duration::ZERO), ..Timeouts::default() };
        let mut taken = Vec::new();
        while self.connections.status().size < WARM_CONNECTIONS.min(self.limits.max_connections) {
            match self.connections.timeout_get(&immediately).await.map_err(DatabaseError::from) {
                Ok(connection) => taken.push(connection),
                Err(DatabaseError::Busy(_)) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Stops using all connections that are open now.
    pub fn distrust_open_connections(&self) {
        let now = Some(Instant::now());
        *self.connector.distrusted.write().unwrap_or_else(PoisonError::into_inner) = now;
        self.connections.retain(|connection, metrics| self.connector.is_usable(connection, metrics));
    }

    /// Connections: (in use, idle).
    pub fn connections(&self) -> (usize, usize) {
        let status = self.connections.status();
        (status.size.saturating_sub(status.available), status.available)
    }

    pub fn close(&self) {
        self.connections.close();
    }
}

/// A connection taken from the pool. Returned to it by [`Lease::settle`], and closed otherwise: after a time-out or a
/// cancelled request, its answer would reach the next user.
struct Lease(Option<Object<Shared>>);

impl Lease {
    fn connection(&self) -> &Connection {
        self.0.as_ref().expect("the connection is there until `settle` or `drop`")
    }

    fn replace(&mut self, connection: Connection) {
        if let Some(object) = &mut self.0 {
            **object = connection;
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
