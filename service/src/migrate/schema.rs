//! The schema `payments` and its migrations.

use std::time::Duration;

use super::migration::{Migration, MigrationError, apply_pending};
use super::roles::Role;
use super::settings::Settings;
use super::sql::{execute, identifier};
use super::{MigrateError, Purpose, login};
use crate::platform::database::{Connection, Credentials};

/// One line per file of `migrations/`, oldest first. Never edit a released file, not even a comment:
/// databases store its checksum, and a different one fails the migration.
const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        description: "simulated payments",
        sql: include_str!("../../migrations/0001_simulated_payments.sql"),
    },
    Migration {
        version: 2,
        description: "payment core",
        sql: include_str!("../../migrations/0002_payment_core.sql"),
    },
    Migration {
        version: 3,
        description: "event seals",
        sql: include_str!("../../migrations/0003_event_seals.sql"),
    },
];
/// The SQLSTATE of a lock that was not available in time.
const LOCK_TIMEOUT: &str = "55P03";
/// How often a migration is attempted when its locks time out, and the pause before the second attempt. Each
/// further pause is twice as long.
const LOCK_TRIES: u32 = 8;
const LOCK_PAUSE: Duration = Duration::from_millis(500);

/// Creates the schema, owned by the migrator, and revokes all access to the database from other roles.
pub async fn ensure(master: &Connection, migrator: &Role, app: &Role) -> Result<(), MigrateError> {
    let row = master.query_one("SELECT current_database()::text", &[]).await;
    let database: String = row.and_then(|row| row.try_get(0)).to("read the database's name")?;
    let (database, owner, user) = (identifier(&database), migrator.name(), app.name());
    let statements = format!(
        // Without superuser rights, only a member of a role can create a schema for it.
        "BEGIN;
         GRANT {owner} TO CURRENT_USER;
         CREATE SCHEMA IF NOT EXISTS payments AUTHORIZATION {owner};
         ALTER SCHEMA payments OWNER TO {owner};
         REVOKE ALL ON SCHEMA public FROM PUBLIC;
         REVOKE ALL ON DATABASE {database} FROM PUBLIC;
         GRANT CONNECT ON DATABASE {database} TO {owner}, {user};
         COMMIT;"
    );
    execute(master, &statements).await.to("create the schema")
}

/// Applies pending migrations. Retries a migration whose locks time out, each time in a new session.
pub async fn migrate(settings: &Settings, migrator: &Credentials) -> Result<(), MigrateError> {
    let mut pause = LOCK_PAUSE;
    for attempt in 1.. {
        let owner = login::as_migrator(settings, migrator).await?;
        match apply_pending(&owner, MIGRATIONS).await {
            Err(MigrationError::Failed { version, cause })
                if cause.code() == Some(LOCK_TIMEOUT) && attempt < LOCK_TRIES =>
            {
                tracing::warn!(version, attempt, "a lock of the migration timed out, retrying");
            }
            outcome => {
                outcome?;
                break;
            }
        }
        tokio::time::sleep(rand::random_range(pause / 2..pause)).await;
        pause *= 2;
    }
    tracing::info!(migrations = MIGRATIONS.len(), "schema is up to date");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_listed_migration_and_every_listed_migration_a_file() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let named = |migration: &Migration| {
            format!("{:04}_{}.sql", migration.version, migration.description.replace(' ', "_"))
        };
        assert_eq!(files, MIGRATIONS.iter().map(named).collect::<Vec<_>>());
    }

    #[test]
    fn every_migration_declares_its_phase_names_the_schema_and_can_be_repeated() {
        for migration in MIGRATIONS {
            let phase = migration.sql.lines().next().and_then(|line| line.strip_prefix("-- phase: "));
            assert!(matches!(phase, Some("expand" | "backfill" | "contract")), "{migration:?}");
            assert!(migration.sql.contains("payments."), "{migration:?}");
            assert_eq!(migration.problem(), None, "{migration:?}");
        }
    }
}
