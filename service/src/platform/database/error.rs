//! Why a statement or a connection failed.

use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::pem;

#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The driver's own message names only the step that failed, so the causes are added.
    #[error("{}", with_causes(.0))]
    Driver(#[from] tokio_postgres::Error),
    #[error("failed to read the certificates in `{}`: {cause}", path.display())]
    Authorities { path: PathBuf, cause: pem::Error },
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("no connection was free within {0:?}")]
    Busy(Duration),
    #[error("the connections are closed")]
    Closed,
    #[error("the statement returned another number of rows than expected")]
    Rows,
}

impl DatabaseError {
    /// The SQLSTATE, if the server or a proxy in front of it answered with an error.
    pub fn code(&self) -> Option<&str> {
        let Self::Driver(error) = self else { return None };
        error.code().map(tokio_postgres::error::SqlState::code)
    }

    /// Whether the server, or a proxy in front of it, rejected the user name and password.
    ///
    /// PostgreSQL answers 28P01 (password) or 28000 (role). pgbouncer up to 1.18 answers 08P01 to both, and when
    /// its own login at the server fails.
    pub fn is_login_rejected(&self) -> bool {
        matches!(self.code(), Some("28P01" | "28000" | "08P01"))
    }

    /// Whether the connection broke, so that a statement may or may not have taken effect.
    ///
    /// Class 08 is a lost connection, 57P01 and 57P02 a server that ends its sessions.
    pub fn is_connection_lost(&self) -> bool {
        let Self::Driver(error) = self else { return false };
        let by_server =
            self.code().is_some_and(|code| code.starts_with("08") || matches!(code, "57P01" | "57P02"));
        by_server || error.is_closed() || self.io().is_some()
    }

    /// Whether the database is missing, overloaded, read-only or about to stop: the statement itself is not wrong.
    ///
    /// Class 25 is a server that accepts no writes, 40 a deadlock or conflict, 53 one without resources, 55P03 and 57 a
    /// limit of time or a server that stops, 28 a password that is being rotated.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Silent(_) | Self::Busy(_) | Self::Closed | Self::Authorities { .. } => true,
            Self::Rows => false,
            Self::Driver(_) => match self.code() {
                None => true,
                Some(code) => {
                    self.is_connection_lost()
                        || ["25", "28", "40", "53", "57"].iter().any(|class| code.starts_with(class))
                        || code == "55P03"
                }
            },
        }
    }

    /// Whether the server's certificate is not valid for its host, or not issued by a known authority.
    pub fn is_untrusted(&self) -> bool {
        let cause = self.io().and_then(std::io::Error::get_ref);
        cause.is_some_and(|cause| matches!(cause.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))))
    }

    /// The error of the socket or of TLS, if that is the cause.
    pub fn io(&self) -> Option<&std::io::Error> {
        let Self::Driver(error) = self else { return None };
        causes(error).find_map(|cause| cause.downcast_ref())
    }
}

impl From<deadpool::managed::PoolError<Self>> for DatabaseError {
    fn from(error: deadpool::managed::PoolError<Self>) -> Self {
        use deadpool::managed::PoolError;
        match error {
            PoolError::Backend(error) => error,
            // The pool has a time limit for waiting only, and `Database` replaces this zero by it.
            PoolError::Timeout(_) => Self::Busy(Duration::ZERO),
            // There are no hooks, and the runtime is set when the pool is created.
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => Self::Closed,
        }
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause: &&'a (dyn Error + 'static)| (*cause).source())
}

fn with_causes(error: &tokio_postgres::Error) -> String {
    // A database error is complete by itself. The driver would only say "db error".
    if let Some(error) = error.as_db_error() {
        // Not its detail, which quotes the row: customers, metadata.
        let constraint = error.constraint().map(|name| format!(", constraint {name}")).unwrap_or_default();
        return format!(
            "{}: {} (SQLSTATE {}{constraint})",
            error.severity(),
            error.message(),
            error.code().code()
        );
    }
    let mut text = error.to_string();
    for cause in causes(error) {
        write!(text, ": {cause}").expect("writing to a String cannot fail");
    }
    text
}
