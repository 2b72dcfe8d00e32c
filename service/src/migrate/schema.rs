//! The schema `payments` and its migrations.

use std::time::Duration;

use sqlx::SqlSafeStr;
use sqlx::error::DatabaseError;
use sqlx::migrate::{MigrateError as SqlxMigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnection;

use super::roles::Role;
use super::settings::Settings;
use super::sql::{execute, identifier};
use super::{MigrateError, Purpose, login};
use crate::database::Credentials;

const TABLE: &str = "payments._sqlx_migrations";
/// One line per file of `migrations/`, oldest first. Never edit a released file, not even a comment:
/// databases store its checksum, and a different one fails the migration.
const MIGRATIONS: &[(i64, &str, &str)] =
    &[(1, "simulated payments", include_str!("../../migrations/0001_simulated_payments.sql"))];
/// How often a migration is attempted when its locks time out, and the pause before the second attempt. Each
/// further pause is twice as long.
const LOCK_TRIES: u32 = 8;
const LOCK_PAUSE: Duration = Duration::from_millis(500);

/// Creates the schema, owned by the migrator, and revokes all access to the database from other roles.
pub async fn ensure(master: &mut PgConnection, migrator: &Role, app: &Role) -> Result<(), MigrateError> {
    let database: String = sqlx::query_scalar("SELECT current_database()::text")
        .fetch_one(&mut *master)
        .await
        .to("read the database's name")?;
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
    execute(master, statements).await.to("create the schema")
}

/// Applies pending migrations. Retries a migration whose locks time out, each time in a new session.
pub async fn migrate(settings: &Settings, migrator: &Credentials) -> Result<(), MigrateError> {
    let migrations = migrations();
    let mut pause = LOCK_PAUSE;
    for attempt in 1.. {
        let mut owner = login::as_migrator(settings, migrator).await?;
        match migrations.run(&mut owner).await {
            Err(SqlxMigrateError::ExecuteMigration(error, version))
                if is_lock_timeout(&error) && attempt < LOCK_TRIES =>
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

fn migrations() -> Migrator {
    let migration = |(version, description, sql): &(i64, &'static str, &'static str)| {
        Migration::new(*version, (*description).into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations(MIGRATIONS.iter().map(migration).collect());
    migrator.dangerous_set_table_name(TABLE);
    // The advisory lock is held already. Unknown migrations are ignored, because after a rollback an older
    // release runs on a newer schema.
    migrator.set_locking(false).set_ignore_missing(true);
    migrator
}

fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(DatabaseError::code).as_deref() == Some("55P03")
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
