//! Whether the database answers and can be written: one background task asks, everything else reads its last result.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_postgres::SimpleQueryMessage;

use super::connection::Connection;
use super::error::DatabaseError;
use super::{Database, Pulse};

/// The time between two checks.
const PERIOD: Duration = Duration::from_secs(1);
/// The limit for the answer on an open connection. A healthy database takes a millisecond or two.
const ANSWER_LIMIT: Duration = Duration::from_millis(1500);

/// Checks the database once per second. Never returns.
///
/// The check has a connection of its own, so that a busy pool does not look like an outage. If that connection does
/// not answer but a new one does, a device between here and the database has forgotten the open connections. Then
/// those of the pool are replaced as well, before a payment waits for one of them.
pub async fn watch(database: Arc<Database>, sender: watch::Sender<Option<Pulse>>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connection = None;
    loop {
        ticks.tick().await;
        let started = Instant::now();
        let outcome = check(&database, &mut connection).await;
        let (pulse, reason) = match outcome {
            Ok((latency, is_writable)) => (Pulse { is_up: true, is_writable, latency }, None),
            Err(error) => {
                let latency = started.elapsed();
                (Pulse { is_up: false, is_writable: false, latency }, Some(error.to_string()))
            }
        };
        log_change(&database.place, *sender.borrow(), pulse, reason);
        sender.send_replace(Some(pulse));
    }
}

async fn check(
    database: &Database,
    connection: &mut Option<Connection>,
) -> Result<(Duration, bool), DatabaseError> {
    if let Some(open) = connection.take_if(|open| !open.is_closed()) {
        match ask(database, &open).await {
            Ok(answer) => {
                *connection = Some(open);
                return Ok(answer);
            }
            // The server answered: a new connection would get the same answer.
            Err(error) if error.code().is_some() && !error.is_connection_lost() => {
                *connection = Some(open);
                return Err(error);
            }
            Err(_) => {}
        }
        let answer = reconnect(database, connection).await?;
        tracing::warn!(
            database = database.place,
            "open database connections no longer answer, replacing them"
        );
        database.pool.distrust_open_connections();
        return Ok(answer);
    }
    reconnect(database, connection).await
}

async fn reconnect(
    database: &Database,
    connection: &mut Option<Connection>,
) -> Result<(Duration, bool), DatabaseError> {
    let open = database.connector.open().await?;
    let answer = ask(database, &open).await?;
    *connection = Some(open);
    Ok(answer)
}

/// The duration of the statement, and whether the database accepts writes.
async fn ask(database: &Database, connection: &Connection) -> Result<(Duration, bool), DatabaseError> {
    let started = Instant::now();
    // The simple protocol takes one round trip, which a proxy cannot split over two server connections.
    let answer = connection.simple_query(database.probe_statement);
    let messages = match tokio::time::timeout(ANSWER_LIMIT, answer).await {
        Ok(messages) => messages?,
        Err(_) => return Err(DatabaseError::Silent(ANSWER_LIMIT)),
    };
    let is_read_only = messages.iter().any(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0) == Some("on"),
        _ => false,
    });
    Ok((started.elapsed(), !is_read_only))
}

fn log_change(place: &str, before: Option<Pulse>, now: Pulse, reason: Option<String>) {
    let before = before.map(|pulse| (pulse.is_up, pulse.is_writable));
    if before == Some((now.is_up, now.is_writable)) {
        return;
    }
    match reason {
        Some(reason) => tracing::warn!(reason, database = place, "database unavailable"),
        None if now.is_writable => tracing::info!(database = place, "database connected"),
        None => tracing::warn!(database = place, "database is read-only"),
    }
}
