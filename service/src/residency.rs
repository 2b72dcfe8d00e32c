//! Refuses the database of another region, whose payments must not leave it.
//!
//! Until the region is known to be the right one, nothing of `/v1` and nothing in the background touches a payment: the
//! provider of this region knows nothing of another region's payments, and would be asked to make them again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::store::Store;

const PAUSE: Duration = Duration::from_millis(200);

/// Whether the database is known to be that of this process's region.
#[derive(Debug, Default)]
pub struct Residency(AtomicBool);

/// What the database says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    Own,
    Foreign,
    /// No migration has named one yet.
    None,
}

impl Residency {
    pub fn is_confirmed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub fn confirm(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until the database says something else than `known` about its region. What it says is logged if it is a mistake.
pub async fn learn(store: &Store, own: &str, known: Option<Region>) -> Region {
    loop {
        match store.region().await {
            Ok(Some(found)) if found == own => return Region::Own,
            Ok(Some(found)) => {
                tracing::error!(
                    "the database holds the payments of `{found}`, and this process is of `{own}`; \
                     fix: correct REGION or the database's host"
                );
                return Region::Foreign;
            }
            Ok(None) if known != Some(Region::None) => {
                tracing::warn!(
                    "the database has no region yet, so /v1 is closed: run `payment-api migrate` with REGION"
                );
                return Region::None;
            }
            Ok(None) => {}
            // Not reachable or not migrated yet. The check of the database reports it.
            Err(error) => tracing::debug!("failed to read the database's region: {error}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
