//! File descriptors: each connection takes one, and without a free one the process can neither accept connections nor
//! open some to the database.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::platform::server::Limits;

/// Descriptors for everything but the API's connections: database, probes, log, secret files, runtime.
const RESERVED: u64 = 160;

/// Raises the process's limit of open files to what it may have, as Go's runtime does, and lowers the number of
/// connections if that is not enough for them.
pub fn fit(limits: Limits) -> Limits {
    let mut files = getrlimit(Resource::Nofile);
    if files.current != files.maximum {
        files.current = files.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, files) {
            tracing::warn!("failed to raise the limit of open files: {error}");
            files = getrlimit(Resource::Nofile);
        }
    }
    // No current limit means that there is none.
    let Some(available) = files.current else { return limits };
    let possible = usize::try_from(available.saturating_sub(RESERVED)).unwrap_or(usize::MAX).max(1);
    if possible < limits.connections {
        tracing::warn!(
            possible,
            "the limit of open files allows fewer connections than HTTP_MAX_CONNECTIONS"
        );
    }
    Limits { connections: limits.connections.min(possible), ..limits }
}
