//! A PostgreSQL endpoint and the credentials for it.

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::environment::{Environment, Problems};
use crate::secret::{SecretError, SecretFolder};

/// A host whose certificate must match its name and be issued by an authority of `ca_file` or a public one.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
    pub database: String,
    /// Read for each connection, so that a renewed bundle needs no restart.
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub struct Credentials {
    pub username: String,
    pub password: SecretString,
}

impl Endpoint {
    /// The endpoint whose host is in the variable `host`; `None` if the variable is not set.
    pub fn read(environment: &Environment, host: &str, problems: &mut Problems) -> Option<Self> {
        let ca_file = environment.get("DATABASE_CA_FILE").map(PathBuf::from);
        if let Some(path) = &ca_file
            && let Err(cause) = std::fs::File::open(path)
        {
            problems.push(format!("DATABASE_CA_FILE: failed to open `{}`: {cause}", path.display()));
        }
        Some(Self {
            host: environment.get(host)?.to_owned(),
            port: environment.parse("DATABASE_PORT", 5432, "a port number", problems),
            database: environment.get("DATABASE_NAME").unwrap_or("payments").to_owned(),
            ca_file,
        })
    }

    pub fn options(&self, login: &Credentials) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .database(&self.database)
            .username(&login.username)
            .password(login.password.expose_secret())
            .ssl_mode(PgSslMode::VerifyFull)
            .application_name(env!("CARGO_PKG_NAME"))
            // Statements can contain password verifiers. Callers log the errors.
            .disable_statement_logging();
        match &self.ca_file {
            Some(path) => options.ssl_root_cert(path),
            None => options,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.host, self.port, self.database)
    }
}

impl Credentials {
    pub fn read(folder: &SecretFolder, username: &str, password: &str) -> Result<Self, SecretError> {
        let username = folder.read(username)?.expose_secret().to_owned();
        Ok(Self { username, password: folder.read(password)? })
    }
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        self.username == other.username && self.password.expose_secret() == other.password.expose_secret()
    }
}

/// Turns off what breaks behind a proxy in transaction mode: cached statements and startup parameters.
pub fn fit_for_proxies(options: PgConnectOptions) -> PgConnectOptions {
    options.statement_cache_capacity(0).extra_float_digits(None).disable_statement_logging()
}

/// Whether the server, or a proxy in front of it, rejected the user name and password.
///
/// PostgreSQL answers 28P01 (password) or 28000 (role). pgbouncer up to 1.18 answers 08P01 to both, and when
/// its own login at the server fails.
pub fn is_login_rejected(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    matches!(error.code().as_deref(), Some("28P01" | "28000" | "08P01"))
}
