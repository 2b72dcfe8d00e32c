//! A PostgreSQL endpoint and the credentials for it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::tls::Authorities;
use crate::platform::environment::{Environment, Problems};
use crate::platform::secret::{SecretError, SecretFolder};

/// After this time without an acknowledgement of data that was sent, the kernel reports the connection as broken.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
/// An idle connection is probed after [`KEEPALIVE_IDLE`], and is broken after [`KEEPALIVE_RETRIES`] probes without an
/// answer, [`KEEPALIVE_INTERVAL`] apart. Linux's default is more than two hours.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// A host, a database and how to encrypt the connection. The login of a URL is in it as well.
#[derive(Clone)]
pub struct Endpoint {
    config: Config,
    pub tls: Tls,
    pub authorities: Arc<Authorities>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Only for a URL that asks for it, and for Unix sockets.
    Off,
    /// The certificate must match the host's name and be issued by an authority of `ca_file` or a public one.
    Verified { ca_file: Option<PathBuf> },
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
        let mut config = Config::new();
        config
            .host(environment.get(host)?)
            .port(environment.parse("DATABASE_PORT", 5432, "a port number", problems))
            .dbname(environment.get("DATABASE_NAME").unwrap_or("payments"));
        Some(Self::new(config, Tls::Verified { ca_file }))
    }

    /// The endpoint and the login in `url`. `None` if it is not a valid URL of PostgreSQL.
    ///
    /// `sslmode=disable` turns TLS off. Without `sslmode`, and with any other value, the certificate is verified: the
    /// modes in between would accept a server that only claims to be the database.
    pub fn of_url(url: &str) -> Option<Self> {
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let mut tls = Tls::Verified { ca_file: None };
        let mut others = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=')?;
            let value = percent_decode_str(value).decode_utf8().ok()?;
            match (name, &mut tls) {
                ("sslmode", _) if value == "disable" => tls = Tls::Off,
                ("sslrootcert", Tls::Verified { ca_file }) => *ca_file = Some(value.into_owned().into()),
                ("sslmode" | "sslrootcert", _) => {}
                _ => others.push(pair),
            }
        }
        let config: Config = format!("{place}?{}", others.join("&")).parse().ok()?;
        if config.get_hosts().is_empty() {
            return None;
        }
        Some(Self::new(config, tls))
    }

    fn new(mut config: Config, tls: Tls) -> Self {
        let is_unix_socket = matches!(config.get_hosts(), [Host::Unix(_)]);
        let tls = if is_unix_socket { Tls::Off } else { tls };
        config
            .ssl_mode(if tls == Tls::Off { SslMode::Disable } else { SslMode::Require })
            .application_name(env!("CARGO_PKG_NAME"))
            .tcp_user_timeout(UNACKNOWLEDGED)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES);
        let ca_file = if let Tls::Verified { ca_file } = &tls { ca_file.clone() } else { None };
        Self { config, tls, authorities: Arc::new(Authorities::new(ca_file)) }
    }

    /// What the driver needs to log in: as `login`, or without one as the URL says.
    pub fn config(&self, login: Option<&Credentials>) -> Config {
        let mut config = self.config.clone();
        if let Some(login) = login {
            config.user(&login.username).password(login.password.expose_secret());
        }
        config
    }
}

/// `host:port/database`, which is safe to log.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => f.write_str(host)?,
            Some(Host::Unix(folder)) => write!(f, "{}", folder.display())?,
            None => {}
        }
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        write!(f, ":{port}/{database}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sslmode_disable_turns_verification_off() {
        let verified = Tls::Verified { ca_file: None };
        for (query, tls) in [
            ("", verified.clone()),
            ("?sslmode=prefer", verified.clone()),
            ("?sslmode=require&connect_timeout=3", verified.clone()),
            ("?sslmode=disable", Tls::Off),
            ("?sslrootcert=%2Fa%20b.pem", Tls::Verified { ca_file: Some("/a b.pem".into()) }),
        ] {
            let endpoint =
                Endpoint::of_url(&format!("postgres://app:p%40ss@db.example:6432/payments{query}"));
            let endpoint = endpoint.unwrap();
            assert_eq!(endpoint.tls, tls, "{query}");
            assert_eq!(endpoint.to_string(), "db.example:6432/payments");
        }
    }

    #[test]
    fn a_url_without_a_host_or_with_unknown_parameters_is_refused() {
        for url in ["postgres:///payments", "postgres://db/payments?colour=red", "mysql://db/payments", "db"]
        {
            assert!(Endpoint::of_url(url).is_none(), "{url}");
        }
    }
}
