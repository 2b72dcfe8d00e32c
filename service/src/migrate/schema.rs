//! The schema `payments` and its migrations.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha384};

use super::roles::Role;
use super::settings::Settings;
use super::sql::{execute, identifier};
use super::{MigrateError, Purpose, login};
use crate::database::{Connection, Credentials, DatabaseError};

/// The applied migrations. Name and columns are those of the library that earlier releases used: after a rollback, they
/// read what this one wrote.
const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS payments._sqlx_migrations (
    version bigint PRIMARY KEY,
    description text NOT NULL,
    installed_on timestamptz NOT NULL DEFAULT now(),
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
)";
/// One line per file of `migrations/`, oldest first. Never edit a released file, not even a comment:
/// databases store its checksum, and a different one fails the migration.
const MIGRATIONS: &[(i64, &str, &str)] =
    &[(1, "simulated payments", include_str!("../../migrations/0001_simulated_payments.sql"))];
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
        match apply_pending(&owner).await {
            Err(MigrationError::Failed { version, cause })
                if cause.code() == Some("55P03") && attempt < LOCK_TRIES =>
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

#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error("failed to read the applied migrations: {0}")]
    Unreadable(DatabaseError),
    #[error("migration {0} was applied with other contents: its file was changed after its release")]
    Changed(i64),
    #[error("failed to apply migration {version}: {cause}")]
    Failed { version: i64, cause: DatabaseError },
}

/// Applies what this release contains and the database does not. Migrations that only the database has are left alone:
/// after a rollback, an older release runs on a newer schema.
async fn apply_pending(owner: &Connection) -> Result<(), MigrationError> {
    let unreadable = |cause: tokio_postgres::Error| MigrationError::Unreadable(cause.into());
    // IF NOT EXISTS needs the privilege CREATE even if the table exists, and would log a notice.
    let exists = owner.query_one("SELECT to_regclass('payments._sqlx_migrations') IS NOT NULL", &[]).await;
    if !exists.and_then(|row| row.try_get(0)).map_err(unreadable)? {
        owner.batch_execute(CREATE_TABLE).await.map_err(unreadable)?;
    }
    let rows = owner.query("SELECT version, checksum FROM payments._sqlx_migrations", &[]).await;
    let applied: Result<Vec<(i64, Vec<u8>)>, _> =
        rows.map_err(unreadable)?.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect();
    let applied = applied.map_err(unreadable)?;
    for &(version, description, sql) in MIGRATIONS {
        let checksum = Sha384::digest(sql);
        match applied.iter().find(|(applied, _)| *applied == version) {
            Some((_, found)) if found[..] != checksum[..] => return Err(MigrationError::Changed(version)),
            Some(_) => {}
            None => apply(owner, version, description, sql, &checksum)
                .await
                .map_err(|cause| MigrationError::Failed { version, cause: cause.into() })?,
        }
    }
    Ok(())
}

/// Applies one migration and records it, in one transaction.
async fn apply(
    owner: &Connection,
    version: i64,
    description: &str,
    sql: &str,
    checksum: &[u8],
) -> Result<(), tokio_postgres::Error> {
    let started = Instant::now();
    owner.batch_execute("BEGIN").await?;
    owner.batch_execute(sql).await?;
    let nanoseconds = i64::try_from(started.elapsed().as_nanos()).unwrap_or(i64::MAX);
    owner
        .execute(
            "INSERT INTO payments._sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES ($1, $2, true, $3, $4)",
            &[&version, &description, &checksum, &nanoseconds],
        )
        .await?;
    owner.batch_execute("COMMIT").await
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
        let named = |(version, description, _): &(i64, &str, &str)| {
            format!("{version:04}_{}.sql", description.replace(' ', "_"))
        };
        assert_eq!(files, MIGRATIONS.iter().map(named).collect::<Vec<_>>());
    }

    #[test]
    fn every_migration_declares_its_phase_and_names_the_schema() {
        for (version, _, sql) in MIGRATIONS {
            let phase = sql.lines().next().and_then(|line| line.strip_prefix("-- phase: "));
            assert!(matches!(phase, Some("expand" | "backfill" | "contract")), "migration {version}");
            assert!(sql.contains("payments."), "migration {version}");
        }
    }
}
