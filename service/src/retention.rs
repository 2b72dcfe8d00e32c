//! Deletes simulated payments after a day. Without this, a load test would fill the disk.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use uuid::{NoContext, Uuid};

use crate::database::Database;

const KEEP: Duration = Duration::from_hours(24);
const PERIOD: Duration = Duration::from_mins(1);
/// Rows per transaction: few enough to hold the row locks for milliseconds only.
const BATCH: i64 = 1000;

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

async fn delete_batches(database: &Database) -> Result<u64, sqlx::Error> {
    let mut rows = 0;
    loop {
        let deleted = delete_batch(database).await?;
        rows += deleted;
        if deleted < BATCH.unsigned_abs() {
            return Ok(rows);
        }
    }
}

async fn delete_batch(database: &Database) -> Result<u64, sqlx::Error> {
    let mut transaction = database.begin().await?;
    // An id starts with its creation time, so the primary key serves as the index for this query.
    let deleted = sqlx::query(
        "DELETE FROM payments.simulated_payments WHERE id IN (
             SELECT id FROM payments.simulated_payments WHERE id < $1 ORDER BY id LIMIT $2
             FOR UPDATE SKIP LOCKED)",
    )
    .persistent(false)
    .bind(first_id_at(Timestamp::now() - KEEP))
    .bind(BATCH)
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    transaction.commit().await?;
    Ok(deleted)
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
