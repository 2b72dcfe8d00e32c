//! Reloads secrets when their files change. Polling the metadata once a second is cheap and also detects the
//! symbolic link that a Secret volume swaps; file notifications for it differ between file systems.

use std::sync::Arc;
use std::time::Duration;

use crate::api_keys::{self, Keys};
use crate::http::App;
use crate::platform::database::{self, Database};
use crate::platform::secret::{SecretError, SecretFolder, Version};

const PERIOD: Duration = Duration::from_secs(1);

/// Watches the files of the API keys. Never returns.
pub async fn api_keys(app: Arc<App>, folder: SecretFolder) {
    let mut files = Files::new(folder, &[api_keys::CURRENT, api_keys::PREVIOUS]);
    loop {
        let versions = files.changed().await;
        match Keys::read(&files.folder) {
            Ok(keys) => {
                if app.keys.replace(&keys) {
                    tracing::info!("API keys reloaded");
                }
                files.seen = versions;
            }
            Err(error) => keep(&error),
        }
    }
}

/// Watches the files of the database credentials. Never returns. A rejected login reloads them immediately.
pub async fn database_credentials(database: Arc<Database>, folder: SecretFolder) {
    let mut files = Files::new(folder, &[database::USERNAME, database::PASSWORD]);
    loop {
        let versions = files.changed().await;
        match database.reload_credentials() {
            Ok(_) => files.seen = versions,
            Err(error) => keep(&error),
        }
    }
}

/// The files may be missing or half-written. The current secrets stay in effect until a later check succeeds.
fn keep(error: &SecretError) {
    tracing::warn!("{error}; keeping the current secrets");
}

struct Files {
    folder: SecretFolder,
    names: &'static [&'static str],
    seen: Vec<Option<Version>>,
}

impl Files {
    /// Starts with no known version, because the files may have changed since the settings were read.
    fn new(folder: SecretFolder, names: &'static [&'static str]) -> Self {
        Self { folder, names, seen: Vec::new() }
    }

    /// Waits until the files differ from those last seen.
    async fn changed(&self) -> Vec<Option<Version>> {
        loop {
            tokio::time::sleep(PERIOD).await;
            let versions = self.folder.versions(self.names);
            if versions != self.seen {
                return versions;
            }
        }
    }
}
