//! One connection, and how it is opened.

use std::ops::Deref;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::CancellationToken;

use super::endpoint::{Credentials, Endpoint, Tls};
use super::error::DatabaseError;

/// A session. Closed when dropped, whatever it is doing.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    /// Moves the session's bytes between client and socket.
    task: JoinHandle<()>,
    /// Cancelled when that task has ended, and with it the session.
    ended: CancellationToken,
    opened: Instant,
    /// When the server last answered.
    heard: Mutex<Instant>,
}

impl Connection {
    /// Opens a session within `limit`, which covers name resolution, TCP, TLS and the login.
    pub async fn open(
        endpoint: &Endpoint,
        login: Option<&Credentials>,
        limit: Duration,
    ) -> Result<Self, DatabaseError> {
        let outcome = tokio::time::timeout(limit, Self::open_slowly(endpoint, login)).await;
        outcome.unwrap_or(Err(DatabaseError::Silent(limit)))
    }

    async fn open_slowly(endpoint: &Endpoint, login: Option<&Credentials>) -> Result<Self, DatabaseError> {
        let config = endpoint.config(login);
        // Before its host is looked up, because a failover during that leads it to the former primary.
        let opened = Instant::now();
        match &endpoint.tls {
            Tls::Off => {
                let (client, connection) = config.connect(NoTls).await?;
                Ok(Self::start(client, connection, opened))
            }
            Tls::Verified { .. } => {
                let tls = MakeRustlsConnect::new(endpoint.authorities.config()?);
                let (client, connection) = config.connect(tls).await?;
                Ok(Self::start(client, connection, opened))
            }
        }
    }

    fn start<T>(client: Client, connection: T, opened: Instant) -> Self
    where
        T: Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
    {
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        let task = tokio::spawn(async move {
            let _end = end;
            // The statement under way fails with the same error, and an idle connection is replaced.
            if let Err(error) = connection.await {
                tracing::debug!("database connection ended: {}", DatabaseError::from(error));
            }
        });
        Self { client, task, ended, opened, heard: Mutex::new(Instant::now()) }
    }

    /// When it began to be opened.
    pub fn opened(&self) -> Instant {
        self.opened
    }

    /// When the server last answered.
    pub fn heard(&self) -> Instant {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server has answered.
    pub fn note_answer(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Waits until the session has ended.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Ending in order would wait for the server's answer to the statement under way, which may never come.
        self.task.abort();
    }
}
