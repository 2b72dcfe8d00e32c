//! The simulated payment of the legacy route: real work in the region's database, or a sleep as in the legacy service.

pub mod retention;

use std::time::Duration;

use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::platform::database::{Database, DatabaseError};

/// Succeeds once the tables exist and the role may read them. Reads no row of them, and says whether the database is
/// read-only.
pub const PROBE_STATEMENT: &str = "SELECT current_setting('transaction_read_only'), (SELECT 1 FROM payments.simulated_payments LIMIT 0), \
     (SELECT 1 FROM payments.payments LIMIT 0)";
/// Has the same effect when it runs twice with one id, because a statement whose connection broke is repeated. In a file of
/// its own, so that `tests/bench service` can compare it with pgbench.
const STORE: &str = include_str!("store.sql");

pub struct Payment {
    id: Uuid,
    /// The region that the stored row names.
    pub region: String,
    pub status: String,
}

impl Payment {
    /// `txn_` and a version 7 UUID: unique under concurrency, sortable by time, hard to guess.
    pub fn transaction_id(&self) -> String {
        format!("txn_{}", self.id.simple())
    }
}

/// Stores a payment of `region` and reads the stored row back, in one transaction and one round trip.
pub async fn store(database: &Database, region: &str) -> Result<Payment, DatabaseError> {
    let id = Uuid::now_v7();
    let rows = database.query(STORE, &[(&id, Type::UUID), (&region, Type::TEXT)]).await?;
    let row = rows.first().ok_or(DatabaseError::Rows)?;
    Ok(Payment { id, region: row.try_get(0)?, status: row.try_get(1)? })
}

/// Sleeps as long as the legacy service did, and stores nothing.
pub async fn sleep(region: &str) -> Payment {
    tokio::time::sleep(legacy_latency(region)).await;
    Payment { id: Uuid::now_v7(), region: region.to_owned(), status: "approved".to_owned() }
}

fn legacy_latency(region: &str) -> Duration {
    let milliseconds = match region {
        "eu-west-1" | "eu-south-2" => rand::random_range(50..100),
        "us-east-1" | "us-east-2" => rand::random_range(100..200),
        "sa-east-1" => rand::random_range(80..160),
        _ => 100,
    };
    Duration::from_millis(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_latencies_stay_within_their_regions_range() {
        let ranges =
            [("eu-south-2", 50..100), ("us-east-1", 100..200), ("sa-east-1", 80..160), ("unknown", 100..101)];
        for (region, range) in ranges {
            for _ in 0..1000 {
                let milliseconds = legacy_latency(region).as_millis();
                assert!(range.contains(&milliseconds), "{region}: {milliseconds} ms");
            }
        }
    }
}
