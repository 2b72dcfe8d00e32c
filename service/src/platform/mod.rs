//! What any service on Kubernetes with PostgreSQL needs, and nothing about payments: environment, secrets, signals, log,
//! HTTP server, probes, metrics, database connections. It uses nothing outside of this folder, so it can become a crate.

pub mod database;
pub mod descriptors;
pub mod environment;
pub mod http;
pub mod lifecycle;
pub mod log;
pub mod metrics;
pub mod secret;
pub mod server;
pub mod signals;

use std::sync::Arc;
use std::time::Duration;

use self::database::Database;
use self::http::AccessLog;
use self::lifecycle::Lifecycle;
use self::metrics::Metrics;

/// What the handlers of this folder share.
pub struct Platform {
    pub database: Arc<Database>,
    pub lifecycle: Lifecycle,
    pub metrics: Metrics,
    pub access_log: AccessLog,
    /// Whether a client's text may appear in the log.
    pub may_log: fn(&str) -> bool,
    /// How long `/readyz` passes without a usable database.
    pub readiness_grace: Duration,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_platform_uses_nothing_outside_of_itself() {
        fn check(folder: &Path) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    check(&path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let foreign = text.lines().find(|line| {
                    let uses = line.trim_start().strip_prefix("use crate::");
                    uses.is_some_and(|path| !path.starts_with("platform::"))
                });
                assert_eq!(foreign, None, "{}", path.display());
            }
        }
        check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/platform"));
    }
}
