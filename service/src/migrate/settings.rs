//! The configuration of `migrate`.

use std::time::Duration;

use crate::platform::database::{Credentials, Endpoint};
use crate::platform::environment::{Environment, Problems};
use crate::platform::secret::{SecretError, SecretFolder};

const DEFAULT_FOLDER: &str = "/var/run/secrets/payment-api-migrate";

pub struct Settings {
    pub endpoint: Endpoint,
    folder: SecretFolder,
    /// The region whose payments the database may hold.
    pub region: Option<String>,
    /// How long to wait for the database to answer.
    pub wait: Duration,
    /// How long to wait for another migration.
    pub lock_wait: Duration,
    /// The limit of the whole migration.
    pub timeout: Duration,
}

impl Settings {
    pub fn read(environment: &Environment) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let endpoint = Endpoint::read(environment, "DATABASE_DIRECT_HOST", &mut problems);
        let folder = SecretFolder::new(environment.get("MIGRATE_SECRETS_DIR").unwrap_or(DEFAULT_FOLDER));
        let wait = environment.seconds("MIGRATE_WAIT_SECONDS", 120, &mut problems);
        let lock_wait = environment.seconds("MIGRATE_LOCK_SECONDS", 300, &mut problems);
        let timeout = environment.seconds("MIGRATE_TIMEOUT_SECONDS", 900, &mut problems);
        let region = environment.get("REGION").map(str::to_owned);
        let Some(endpoint) = endpoint else {
            problems.push("DATABASE_DIRECT_HOST is required: the host of the database, not its proxy".into());
            return Err(problems);
        };
        let settings = Self { endpoint, folder, region, wait, lock_wait, timeout };
        for login in [settings.master(), settings.migrator(), settings.app()] {
            if let Err(error) = login {
                problems.push(error.to_string());
            }
        }
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }

    /// Reads the files at each call, because RDS may rotate the master password at any time.
    pub fn master(&self) -> Result<Credentials, SecretError> {
        Credentials::read(&self.folder, "master-username", "master-password")
    }

    pub fn migrator(&self) -> Result<Credentials, SecretError> {
        Credentials::read(&self.folder, "migrator-username", "migrator-password")
    }

    pub fn app(&self) -> Result<Credentials, SecretError> {
        Credentials::read(&self.folder, "app-username", "app-password")
    }
}
