//! Whether the database answers. Checked at most once per second, however many probes ask.

use std::time::{Duration, Instant};

use super::{Database, is_login_rejected};

/// How long a result is reused.
const FRESH: Duration = Duration::from_secs(1);
/// Shorter than the two seconds that the chart gives a probe.
const DEADLINE: Duration = Duration::from_millis(1500);

#[derive(Debug, Clone, Copy)]
pub struct Pulse {
    pub is_up: bool,
    /// The duration of the probe statement, or of the whole attempt if it failed.
    pub latency: Duration,
    taken: Instant,
}

impl Database {
    /// The last result, or a new one if that is more than a second old.
    pub async fn pulse(&self) -> Pulse {
        let mut last = self.pulse.lock().await;
        if let Some(pulse) = *last
            && pulse.taken.elapsed() < FRESH
        {
            return pulse;
        }
        let attempt = Instant::now();
        let outcome = tokio::time::timeout(DEADLINE, self.probe()).await;
        let (is_up, latency, reason) = match outcome {
            Ok(Ok(latency)) => (true, latency, None),
            Ok(Err(error)) => (false, attempt.elapsed(), Some(error.to_string())),
            Err(_) => (false, attempt.elapsed(), Some(format!("no answer in {DEADLINE:?}"))),
        };
        let was_up = last.map(|pulse| pulse.is_up);
        match reason {
            Some(reason) if was_up != Some(false) => {
                tracing::warn!(reason, database = self.place, "database unavailable");
            }
            None if was_up != Some(true) => {
                tracing::info!(database = self.place, "database connected");
            }
            _ => {}
        }
        *last.insert(Pulse { is_up, latency, taken: Instant::now() })
    }

    async fn probe(&self) -> Result<Duration, sqlx::Error> {
        let generation = self.login.lock().await.generation;
        let mut connection = match self.probe.acquire().await {
            Err(error) if is_login_rejected(&error) && self.renew_login(generation).await => {
                self.probe.acquire().await?
            }
            outcome => outcome?,
        };
        let started = Instant::now();
        // The simple protocol takes one round trip, which a proxy cannot split over two server connections.
        sqlx::raw_sql(self.probe_statement).execute(&mut *connection).await?;
        Ok(started.elapsed())
    }
}
