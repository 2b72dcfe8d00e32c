//! Deletes simulated payments after a day. Without this, a load test would fill the disk.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::types::Type;
use uuid::{NoContext, Uuid};

use crate::platform::database::{Database, DatabaseError};

const KEEP: Duration = Duration::from_hours(24);
const PERIOD: Duration = Duration::from_mins(1);
/// Rows per transaction: few enough to hold the row locks for milliseconds only.
const BATCH: i64 = 1000;
/// An id starts with its creation time, so the primary key serves as the index for this statement.
const DELETE: &str = "WITH expired AS (
         SELECT id FROM payments.simulated_payments WHERE id < $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED),
     deleted AS (DELETE FROM payments.simulated_payments WHERE id IN (SELECT id FROM expired) RETURNING 1)
     SELECT count(*) FROM deleted";

/// Deletes expired payments in batches, about once per [`PERIOD`]. Never returns.
pub async fn run(database: Arc<Database>) {
    loop {
        // Pods start at the same time. The random pause keeps them from deleting at the same time.
        tokio::time::sleep(rand::random_range(PERIOD / 2..PERIOD * 3 / 2)).await;
        match delete_batches(&database).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "expired payments deleted"),
            Err(error) => tracing::warn!("failed to delete expired payments: {error}"),
        }
    }
}

async fn delete_batches(database: &Database) -> Result<i64, DatabaseError> {
    let mut rows = 0;
    loop {
        let deleted = delete_batch(database).await?;
        rows += deleted;
        if deleted < BATCH {
            return Ok(rows);
        }
    }
}

async fn delete_batch(database: &Database) -> Result<i64, DatabaseError> {
    let bound = first_id_at(Timestamp::now() - KEEP);
    let rows = database.query(DELETE, &[(&bound, Type::UUID), (&BATCH, Type::INT8)]).await?;
    Ok(rows.first().ok_or(DatabaseError::Rows)?.try_get(0)?)
}

/// The smallest id that a payment created at `time` can have.
fn first_id_at(time: Timestamp) -> Uuid {
    let seconds = u64::try_from(time.as_second()).unwrap_or(0);
    let id = Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, 0)).as_u128();
    // The first 48 bits are the time. The others are the version, the variant and random bits.
    Uuid::from_u128(id >> 80 << 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_payments_id_is_below_the_bound_and_a_newer_one_is_not() {
        let bound = first_id_at(Timestamp::from_second(1_800_000_000).unwrap());
        let at = |seconds| Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, 0));
        assert!(at(1_799_999_999) < bound);
        assert!(at(1_800_000_000) >= bound);
    }
}
