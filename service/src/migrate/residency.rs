//! Which region's payments the database may hold. Decided by the first migration that knows, and never changed.

use super::{MigrateError, Purpose};
use crate::platform::database::Connection;

/// Without a region, what is there stays.
pub async fn ensure(owner: &Connection, region: Option<&str>) -> Result<(), MigrateError> {
    let Some(wanted) = region else { return Ok(()) };
    let insert = "INSERT INTO payments.residency (region) VALUES ($1) ON CONFLICT DO NOTHING";
    owner.execute(insert, &[&wanted]).await.to("store the database's region")?;
    let row = owner.query_one("SELECT region FROM payments.residency", &[]).await;
    let found: String = row.and_then(|row| row.try_get(0)).to("read the database's region")?;
    if found == wanted {
        Ok(())
    } else {
        Err(MigrateError::ForeignDatabase { found, wanted: wanted.to_owned() })
    }
}
