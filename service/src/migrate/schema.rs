//! The schema `payments`, and the migrations in it.

use std::time::Duration;

use sqlx::SqlSafeStr;
use sqlx::error::DatabaseError;
use sqlx::migrate::{MigrateError as SqlxMigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnection;

use super::roles::Role;
use super::settings::Settings;
use super::sql::{execute, identifier};
use super::{MigrateError, Purpose, login};

const TABLE: &str = "payments._sqlx_migrations";
/// One line a file of `migrations/`, oldest first.
const MIGRATIONS: &[(i64, &str, &str)] =
    &[(1, "simulated payments", include_str!("../../migrations/0001_simulated_payments.sql"))];
/// How often a migration that could not get its locks is tried, and the pause before the second try.
const LOCK_TRIES: u32 = 8;
const LOCK_PAUSE: Duration = Duration::from_millis(500);

/// Makes the schema, the migrator's own, and closes the database to everybody else.
pub async fn make(master: &mut PgConnection, migrator: &Role, app: &Role) -> Result<(), MigrateError> {
    let database: String = sqlx::query_scalar("SELECT current_database()::text")
        .fetch_one(&mut *master)
        .await
        .to("tell the database's name")?;
    let (database, owner, user) = (identifier(&database), migrator.name(), app.name());
    let statements = format!(
        // who makes a schema for another role must be a member of it; a superuser would not need to
        "BEGIN;
         GRANT {owner} TO CURRENT_USER;
         CREATE SCHEMA IF NOT EXISTS payments AUTHORIZATION {owner};
         ALTER SCHEMA payments OWNER TO {owner};
         REVOKE ALL ON SCHEMA public FROM PUBLIC;
         REVOKE ALL ON DATABASE {database} FROM PUBLIC;
         GRANT CONNECT ON DATABASE {database} TO {owner}, {user};
         COMMIT;"
    );
    execute(master, statements).await.to("make the schema")
}

/// Applies what is new. A migration that cannot get its locks in time is tried again, in a session of its own.
pub async fn migrate(
    mut owner: PgConnection,
    settings: &Settings,
    migrator: &Role,
) -> Result<(), MigrateError> {
    let migrations = migrations();
    let mut pause = LOCK_PAUSE;
    for attempt in 1.. {
        match migrations.run(&mut owner).await {
            Err(SqlxMigrateError::ExecuteMigration(error, version))
                if is_lock_timeout(&error) && attempt < LOCK_TRIES =>
            {
                tracing::warn!(version, attempt, "migration could not get its locks, trying again");
            }
            outcome => {
                outcome?;
                break;
            }
        }
        tokio::time::sleep(rand::random_range(pause / 2..pause)).await;
        pause *= 2;
        owner = login::as_role(settings, migrator).await?;
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
    // ours is held already; and an older release must run on a newer schema, or nobody could roll back
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
    fn every_file_is_a_migration_and_every_migration_a_file() {
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
    fn every_migration_says_its_phase_and_names_its_schema() {
        for (version, _, sql) in MIGRATIONS {
            let phase = sql.lines().next().and_then(|line| line.strip_prefix("-- phase: "));
            assert!(matches!(phase, Some("expand" | "backfill" | "contract")), "migration {version}");
            assert!(sql.contains("payments."), "migration {version}");
        }
    }
}
