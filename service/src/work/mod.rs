//! What goes on beside requests. Every process does all of it; the statements keep them from doing the same twice.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::flow::Payments;

/// The pauses are random: processes start at the same time and should not work at the same time.
const LOOK_UP_PAUSE: Range<Duration> = Duration::from_millis(500)..Duration::from_millis(1500);
const EXPIRE_PAUSE: Range<Duration> = Duration::from_secs(5)..Duration::from_secs(15);
const PURGE_PAUSE: Range<Duration> = Duration::from_secs(30)..Duration::from_secs(90);
/// Operations that one round looks up, one after the other. Each may take as long as the provider may.
const LOOK_UPS: i64 = 20;
/// Payments or keys per statement: few enough to hold the row locks for milliseconds only.
const BATCH: i64 = 500;

/// Starts it. What is done in the background never ends by itself.
pub fn start(payments: &Arc<Payments>, tasks: &mut JoinSet<()>) {
    tasks.spawn(look_up(Arc::clone(payments)));
    tasks.spawn(expire(Arc::clone(payments)));
    tasks.spawn(purge(Arc::clone(payments)));
}

/// Asks the provider about operations without an answer.
async fn look_up(payments: Arc<Payments>) {
    loop {
        tokio::time::sleep(rand::random_range(LOOK_UP_PAUSE)).await;
        let claimed = match payments.store.claim_unanswered(LOOK_UPS).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::debug!("failed to look for operations without an answer: {error}");
                continue;
            }
        };
        for stored in claimed {
            let (payment, operation) = (stored.operation.payment, stored.operation.id);
            match payments.look_up(&stored).await {
                Ok(true) => tracing::info!(%payment, %operation, "an operation has its answer now"),
                Ok(false) => tracing::warn!(%payment, %operation, "an operation has no answer yet"),
                // It is taken again after its pause.
                Err(error) => tracing::warn!(%payment, %operation, "failed to look up an operation: {error}"),
            }
        }
    }
}

async fn expire(payments: Arc<Payments>) {
    loop {
        tokio::time::sleep(rand::random_range(EXPIRE_PAUSE)).await;
        while report("authorizations expired", payments.expire(BATCH).await) {}
    }
}

async fn purge(payments: Arc<Payments>) {
    loop {
        tokio::time::sleep(rand::random_range(PURGE_PAUSE)).await;
        while report("old idempotency keys deleted", payments.store.purge_keys(BATCH).await) {}
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
