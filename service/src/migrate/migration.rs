//! One migration, and how pending ones are applied.
//!
//! A migration is applied and recorded in one transaction, so it is applied completely or not at all. `CREATE INDEX
//! CONCURRENTLY` cannot run in one. A file with the line `-- transaction: none` is run statement by statement and
//! recorded at the end. If it is interrupted, it starts again, so each of its statements can be repeated. An interrupted
//! index build leaves an invalid index behind, which has to be dropped first:
//!
//! ```sql
//! -- phase: expand
//! -- transaction: none
//! DROP INDEX CONCURRENTLY IF EXISTS payments.payments_by_customer;
//! CREATE INDEX CONCURRENTLY payments_by_customer ON payments.payments (customer);
//! ```

use std::time::Instant;

use sha2::{Digest, Sha384};

use crate::platform::database::{Connection, DatabaseError};

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

#[derive(Debug)]
pub struct Migration {
    pub version: i64,
    pub description: &'static str,
    pub sql: &'static str,
}

impl Migration {
    fn is_transactional(&self) -> bool {
        !self.sql.lines().any(|line| line == "-- transaction: none")
    }

    /// The statements of a migration without a transaction. Each ends with a semicolon at the end of a line.
    fn statements(&self) -> impl Iterator<Item = &'static str> {
        self.sql.split_inclusive(";\n").map(without_comments).filter(|statement| !statement.is_empty())
    }

    /// What keeps a migration without a transaction from being repeated after an interruption.
    #[cfg(test)]
    pub fn problem(&self) -> Option<String> {
        if self.is_transactional() {
            return None;
        }
        let mut dropped = None;
        for statement in self.statements() {
            let words: Vec<&str> =
                statement.split_whitespace().map(|word| word.trim_end_matches(';')).collect();
            match words[..] {
                ["DROP", "INDEX", "CONCURRENTLY", "IF", "EXISTS", name, ..] => dropped = Some(name),
                ["CREATE", "INDEX", "CONCURRENTLY", name, ..]
                | ["CREATE", "UNIQUE", "INDEX", "CONCURRENTLY", name, ..] => {
                    if dropped != Some(format!("payments.{name}").as_str()) {
                        return Some(format!("`{name}` is not dropped directly before it is built"));
                    }
                }
                ["ALTER", "TABLE", _, "VALIDATE", "CONSTRAINT", ..] => {}
                _ => return Some(format!("`{statement}` is not known to be repeatable")),
            }
        }
        None
    }
}

/// `statement` without the comment lines before it.
fn without_comments(statement: &str) -> &str {
    let mut rest = statement.trim();
    while rest.starts_with("--") {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
    }
    rest
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
pub async fn apply_pending(owner: &Connection, migrations: &[Migration]) -> Result<(), MigrationError> {
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
    for migration in migrations {
        let version = migration.version;
        let checksum = Sha384::digest(migration.sql);
        match applied.iter().find(|(applied, _)| *applied == version) {
            Some((_, found)) if found[..] != checksum[..] => return Err(MigrationError::Changed(version)),
            Some(_) => {}
            None => apply(owner, migration, &checksum)
                .await
                .map_err(|cause| MigrationError::Failed { version, cause: cause.into() })?,
        }
    }
    Ok(())
}

/// Applies one migration and records it.
async fn apply(
    owner: &Connection,
    migration: &Migration,
    checksum: &[u8],
) -> Result<(), tokio_postgres::Error> {
    let started = Instant::now();
    let in_transaction = migration.is_transactional();
    if in_transaction {
        owner.batch_execute("BEGIN").await?;
        owner.batch_execute(migration.sql).await?;
    } else {
        // These statements keep no payment waiting while they wait themselves: for all transactions that are older, which
        // may take longer than the limit that the role has for the sake of payments.
        owner.batch_execute("SET lock_timeout = 0").await?;
        // If the process dies between two of these, the next one starts again with the first.
        for statement in migration.statements() {
            owner.batch_execute(statement).await?;
        }
        owner.batch_execute("RESET lock_timeout").await?;
    }
    let nanoseconds = i64::try_from(started.elapsed().as_nanos()).unwrap_or(i64::MAX);
    owner
        .execute(
            "INSERT INTO payments._sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES ($1, $2, true, $3, $4)",
            &[&migration.version, &migration.description, &checksum, &nanoseconds],
        )
        .await?;
    if in_transaction {
        owner.batch_execute("COMMIT").await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migration(sql: &'static str) -> Migration {
        Migration { version: 1, description: "an index", sql }
    }

    #[test]
    fn a_migration_without_a_transaction_is_split_into_its_statements() {
        let migration = migration(
            "-- phase: expand\n-- transaction: none\nDROP INDEX CONCURRENTLY IF EXISTS payments.a;\n\n\
             -- Why.\nCREATE INDEX CONCURRENTLY a\n    ON payments.b (c);\n",
        );
        let statements: Vec<&str> = migration.statements().collect();
        assert_eq!(
            statements,
            [
                "DROP INDEX CONCURRENTLY IF EXISTS payments.a;",
                "CREATE INDEX CONCURRENTLY a\n    ON payments.b (c);"
            ]
        );
        assert_eq!(migration.problem(), None);
    }

    #[test]
    fn a_statement_that_cannot_be_repeated_is_found() {
        for (sql, problem) in [
            ("-- transaction: none\nCREATE INDEX CONCURRENTLY a ON payments.b (c);\n", "`a` is not dropped"),
            ("-- transaction: none\nINSERT INTO payments.b VALUES (1);\n", "not known to be repeatable"),
        ] {
            assert!(migration(sql).problem().unwrap().contains(problem), "{sql}");
        }
        assert_eq!(migration("INSERT INTO payments.b VALUES (1);\n").problem(), None);
    }
}
