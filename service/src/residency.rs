//! Refuses the database of another region, whose payments must not leave it, before the process is ready.

use std::sync::Arc;
use std::time::Duration;

use crate::platform::Platform;
use crate::store::Store;

const PAUSE: Duration = Duration::from_millis(200);

/// Admits the process once the database says that it belongs to `region`. Returns if it belongs to another one, and
/// otherwise never.
pub async fn admit(platform: Arc<Platform>, store: Store, region: String) {
    loop {
        match store.region().await {
            Ok(Some(found)) if found != region => {
                tracing::error!(
                    "the database holds the payments of `{found}`, and this process is of `{region}`; \
                     fix: correct REGION or the database's host"
                );
                return;
            }
            Ok(found) => {
                if found.is_none() {
                    tracing::warn!("the database has no region yet: run `payment-api migrate` with REGION");
                }
                platform.lifecycle.admit();
                std::future::pending::<()>().await;
            }
            // Not reachable or not migrated yet. The check of the database reports it.
            Err(error) => tracing::debug!("failed to read the database's region: {error}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
