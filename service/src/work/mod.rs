//! What goes on beside requests. Every process does all of it; the statements keep them from doing the same twice.

use std::ops::Range;
use std::time::Duration;

use futures_util::future::join_all;

use crate::audit;
use crate::domain::OperationId;
use crate::flow::Payments;

/// The pauses are random: processes start at the same time and should not work at the same time.
const LOOK_UP_PAUSE: Range<Duration> = Duration::from_millis(500)..Duration::from_millis(1500);
const EXPIRE_PAUSE: Range<Duration> = Duration::from_secs(5)..Duration::from_secs(15);
const SEAL_PAUSE: Range<Duration> = Duration::from_secs(2)..Duration::from_secs(4);
const PURGE_PAUSE: Range<Duration> = Duration::from_secs(30)..Duration::from_secs(90);
/// Operations that one round looks up at the same time. Each may take as long as the provider may, twice.
const LOOK_UPS: i64 = 20;
/// Payments or keys per statement: few enough to hold the row locks for milliseconds only.
const BATCH: i64 = 500;

/// Does all of it. Never returns.
pub async fn run(payments: &Payments) {
    tokio::join!(look_up(payments), expire(payments), purge(payments), seal(payments));
}

/// Asks the provider about operations without an answer.
async fn look_up(payments: &Payments) {
    loop {
        tokio::time::sleep(rand::random_range(LOOK_UP_PAUSE)).await;
        let claimed = match payments.store.claim_unanswered(LOOK_UPS).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::debug!("failed to look for operations without an answer: {error}");
                continue;
            }
        };
        // All at once: the last one must not wait until others take it as well.
        join_all(claimed.into_iter().map(|operation| look_up_one(payments, operation))).await;
    }
}

async fn look_up_one(payments: &Payments, operation: OperationId) {
    match payments.look_up(operation).await {
        Ok(true) => tracing::info!(%operation, "an operation has its answer now"),
        Ok(false) => tracing::warn!(%operation, "an operation has no answer yet"),
        // It is taken again after its pause.
        Err(error) => tracing::warn!(%operation, "failed to look up an operation: {error}"),
    }
}

async fn expire(payments: &Payments) {
    loop {
        tokio::time::sleep(rand::random_range(EXPIRE_PAUSE)).await;
        while report("authorizations expired", payments.expire(BATCH).await) {}
    }
}

async fn purge(payments: &Payments) {
    loop {
        tokio::time::sleep(rand::random_range(PURGE_PAUSE)).await;
        while report("old idempotency keys deleted", payments.store.purge_keys(BATCH).await) {}
    }
}

/// Seals what happened. The hashes in the log show later whether the seals are still the same.
async fn seal(payments: &Payments) {
    loop {
        tokio::time::sleep(rand::random_range(SEAL_PAUSE)).await;
        loop {
            match audit::seal(&payments.store).await {
                Ok(Some(seal)) => {
                    tracing::info!(seal = format!("{}:{}", seal.number, seal.hash), "events sealed");
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!("failed to seal events: {error}");
                    break;
                }
            }
        }
    }
}

/// Logs how many there were. Whether there may be more.
fn report<E: std::fmt::Display>(what: &str, outcome: Result<u64, E>) -> bool {
    match outcome {
        Ok(0) => false,
        Ok(count) => {
            tracing::info!(count, "{what}");
            true
        }
        Err(error) => {
            // An outage is reported by the check of the database.
            tracing::debug!("failed: {what}: {error}");
            false
        }
    }
}
