//! What `app` may do, table by table: a new table is closed until it has a line here.

use sqlx::postgres::PgConnection;

use super::roles::Role;
use super::sql::{execute, identifier};
use super::{MigrateError, Purpose};

const PRIVILEGES: &[(&str, &str)] = &[
    ("_sqlx_migrations", "SELECT"),
    // UPDATE for the row locks of retention
    ("simulated_payments", "SELECT, INSERT, UPDATE, DELETE"),
];

/// Gives exactly these privileges, no more.
pub async fn give(owner: &mut PgConnection, app: &Role) -> Result<(), MigrateError> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT tablename::text FROM pg_tables WHERE schemaname = 'payments' ORDER BY tablename",
    )
    .fetch_all(&mut *owner)
    .await
    .to("list the tables")?;
    let role = app.name();
    let mut statements = vec![format!("BEGIN; GRANT USAGE ON SCHEMA payments TO {role};")];
    for table in tables {
        let Some((_, privileges)) = PRIVILEGES.iter().find(|(name, _)| *name == table) else {
            // a newer release's, which this one is rolled back from
            tracing::warn!(table, "table is unknown to this release, its privileges stay as they are");
            continue;
        };
        let table = format!("payments.{}", identifier(&table));
        statements.push(format!("REVOKE ALL ON {table} FROM PUBLIC, {role};"));
        statements.push(format!("GRANT {privileges} ON {table} TO {role};"));
    }
    statements.push("COMMIT;".to_owned());
    execute(owner, statements.concat()).await.to("grant the application its privileges")
}
