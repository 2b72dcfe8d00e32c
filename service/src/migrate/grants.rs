//! The privileges of `app`, table by table. A new table is inaccessible until it has a line here.

use super::roles::Role;
use super::sql::{execute, identifier};
use super::{MigrateError, Purpose};
use crate::platform::database::Connection;

const PRIVILEGES: &[(&str, &str)] = &[
    ("_sqlx_migrations", "SELECT"),
    // Retention locks rows with FOR UPDATE, which needs the privilege UPDATE.
    ("simulated_payments", "SELECT, INSERT, UPDATE, DELETE"),
    ("residency", "SELECT"),
    ("accounts", "SELECT, INSERT, UPDATE"),
    ("api_keys", "SELECT, INSERT, UPDATE"),
    ("payments", "SELECT, INSERT, UPDATE"),
    ("operations", "SELECT, INSERT, UPDATE"),
    // What happened is never changed.
    ("payment_events", "SELECT, INSERT"),
    ("transfers", "SELECT, INSERT"),
    ("event_seals", "SELECT, INSERT"),
    ("idempotency_keys", "SELECT, INSERT, UPDATE, DELETE"),
    ("outbox", "SELECT, INSERT, UPDATE, DELETE"),
];

/// Grants exactly these privileges and revokes all others.
pub async fn apply(owner: &Connection, app: &Role) -> Result<(), MigrateError> {
    let rows = owner
        .query("SELECT tablename::text FROM pg_tables WHERE schemaname = 'payments' ORDER BY tablename", &[])
        .await
        .to("list the tables")?;
    let tables: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
    let role = app.name();
    let mut statements = vec![format!("BEGIN; GRANT USAGE ON SCHEMA payments TO {role};")];
    for table in tables.to("list the tables")? {
        let Some((_, privileges)) = PRIVILEGES.iter().find(|(name, _)| *name == table) else {
            // After a rollback, the table belongs to a newer release.
            tracing::warn!(table, "this release does not know the table; its privileges are unchanged");
            continue;
        };
        let table = format!("payments.{}", identifier(&table));
        statements.push(format!("REVOKE ALL ON {table} FROM PUBLIC, {role};"));
        statements.push(format!("GRANT {privileges} ON {table} TO {role};"));
    }
    statements.push("COMMIT;".to_owned());
    execute(owner, &statements.concat()).await.to("grant the application its privileges")
}
