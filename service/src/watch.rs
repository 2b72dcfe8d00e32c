//! Puts changed secret files in force. Looking at a file's metadata once a second costs nothing, and works for
//! the symbolic link that a Secret volume swaps, where file notifications differ between file systems.

use std::sync::Arc;
use std::time::Duration;

use crate::api_keys::{self, Keys};
use crate::database::{self, Database};
use crate::http::App;
use crate::secret::{SecretError, SecretFolder, Version};

const PERIOD: Duration = Duration::from_secs(1);

/// Watches the API keys' files for ever.
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

/// Watches the database credentials' files for ever; a refused login makes the database read them at once.
pub async fn database_credentials(database: Arc<Database>, folder: SecretFolder) {
    let mut files = Files::new(folder, &[database::USERNAME, database::PASSWORD]);
    loop {
        let versions = files.changed().await;
        match database.reload_credentials().await {
            Ok(_) => files.seen = versions,
            Err(error) => keep(&error),
        }
    }
}

/// Half-written or gone: what is in force stays, and the next look tries again.
fn keep(error: &SecretError) {
    tracing::warn!("{error}; keeping what is in force");
}

struct Files {
    folder: SecretFolder,
    names: &'static [&'static str],
    seen: Vec<Option<Version>>,
}

impl Files {
    /// Nothing is seen yet: the files may have changed between their first reading and now.
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
