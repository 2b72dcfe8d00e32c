//! One connection, and how it is opened.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::endpoint::{Credentials, Endpoint, Tls};
use super::error::DatabaseError;

/// A session. Closed when dropped, whatever it is doing.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    /// Moves the session's bytes between client and socket.
    task: JoinHandle<()>,
}

impl Connection {
    /// Opens a session within `limit`, which covers name resolution, TCP, TLS and the login.
    pub async fn open(
        endpoint: &Endpoint,
        login: Option<&Credentials>,
        limit: Duration,
    ) -> Result<Self, DatabaseError> {
        let opened = tokio::time::timeout(limit, Self::open_slowly(endpoint, login)).await;
        opened.unwrap_or(Err(DatabaseError::Silent(limit)))
    }

    async fn open_slowly(endpoint: &Endpoint, login: Option<&Credentials>) -> Result<Self, DatabaseError> {
        let config = endpoint.config(login);
        match &endpoint.tls {
            Tls::Off => {
                let (client, connection) = config.connect(NoTls).await?;
                Ok(Self::start(client, connection))
            }
            Tls::Verified { ca_file } => {
                let tls = MakeRustlsConnect::new(tls_config(ca_file.as_deref())?);
                let (client, connection) = config.connect(tls).await?;
                Ok(Self::start(client, connection))
            }
        }
    }

    fn start<T>(client: Client, connection: T) -> Self
    where
        T: Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
    {
        let task = tokio::spawn(async move {
            // The statement under way fails with the same error, and an idle connection is replaced.
            if let Err(error) = connection.await {
                tracing::debug!("database connection ended: {}", DatabaseError::from(error));
            }
        });
        Self { client, task }
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

/// Trusts the authorities in `ca_file` and the public ones.
fn tls_config(ca_file: Option<&Path>) -> Result<ClientConfig, DatabaseError> {
    let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    if let Some(path) = ca_file {
        let certificates =
            read(path).map_err(|cause| DatabaseError::Authorities { path: path.into(), cause })?;
        // Certificates that cannot be trust anchors are skipped, as other TLS stacks do.
        roots.add_parsable_certificates(certificates);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs supports the default protocol versions");
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_file_iter(path)?.collect()
}
