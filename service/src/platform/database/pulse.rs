//! Whether the database answers and can be written: one background task asks, everything else reads its last result.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_postgres::SimpleQueryMessage;

use super::connection::Connection;
use super::error::DatabaseError;
use super::pool::Doubt;
use super::{Database, Pulse};

/// The time between two checks.
const PERIOD: Duration = Duration::from_secs(1);
/// The limit for the answer on an open connection. A healthy database takes a millisecond or two.
const ANSWER_LIMIT: Duration = Duration::from_millis(1500);

/// Checks the database once per second. Never returns.
///
/// The check has a dedicated connection, so that a busy pool does not look like an outage. If that connection does
/// not answer but a new one does, a device between here and the database may have forgotten the open connections, and
/// those of the pool that have been silent as well are replaced. If it leads to a server that accepts no writes but a new
/// one does not, there was a failover, and all of them are.
pub async fn watch(database: Arc<Database>, sender: watch::Sender<Option<Pulse>>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut connection, mut doubt) = (None, None);
    let mut last_usable = None;
    loop {
        ticks.tick().await;
        let started = Instant::now();
        let (is_up, is_writable, latency, reason) = match check(&database, &mut connection, &mut doubt).await
        {
            Ok(answer) => (true, answer.is_writable, answer.latency, None),
            Err(error) => (false, false, started.elapsed(), Some(error.to_string())),
        };
        if is_up && is_writable {
            last_usable = Some(started);
        }
        let pulse = Pulse { is_up, is_writable, latency, last_usable };
        log_change(&database.place, *sender.borrow(), pulse, reason);
        sender.send_replace(Some(pulse));
    }
}

/// What the database answered.
struct Answer {
    latency: Duration,
    is_writable: bool,
}

/// `doubt` is kept until a new connection has shown that it was right.
async fn check(
    database: &Database,
    connection: &mut Option<Connection>,
    doubt: &mut Option<Doubt>,
) -> Result<Answer, DatabaseError> {
    let asked = Instant::now();
    if let Some(open) = connection.take().filter(|open| !open.is_closed()) {
        match ask(database, &open).await {
            Ok(answer) if answer.is_writable => {
                *connection = Some(open);
                return Ok(answer);
            }
            // The server answered: a new connection would get the same answer.
            Err(error) if error.code().is_some() && !error.is_connection_lost() => {
                *connection = Some(open);
                return Err(error);
            }
            // A server that does not accept writes: a failover may have made another one the primary.
            Ok(_) => *doubt = Some(Doubt::Failover),
            Err(_) if matches!(doubt, Some(Doubt::Failover)) => {}
            Err(_) => *doubt = Some(Doubt::Silent(asked)),
        }
    } else if let Some(Doubt::Silent(since)) = doubt {
        *since = asked;
    }
    let answer = reconnect(database, connection).await?;
    if answer.is_writable
        && let Some(doubt) = doubt.take()
    {
        database.distrust(doubt);
        tracing::warn!(
            database = database.place,
            "open database connections are no longer usable, replacing them"
        );
    }
    Ok(answer)
}

async fn reconnect(
    database: &Database,
    connection: &mut Option<Connection>,
) -> Result<Answer, DatabaseError> {
    let open = database.connector.open().await?;
    let answer = ask(database, &open).await?;
    *connection = Some(open);
    Ok(answer)
}

async fn ask(database: &Database, connection: &Connection) -> Result<Answer, DatabaseError> {
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
    Ok(Answer { latency: started.elapsed(), is_writable: !is_read_only })
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
