//! Whether this run may act: the question before each call and each child process.
//!
//! A run holds one lease per region (`lease`). Each is good until a moment on this machine's own clock, which its next
//! renewal moves on. The fence closes, and stays closed, once a lease is lost or was not renewed in time, as after a
//! machine was suspended: another run may act by then.

use std::{collections::BTreeMap, time::Duration};

use tokio::sync::watch;

use super::{Class, Error, RegionName, Result};

/// The time since the machine's boot, which also passes while the machine sleeps.
pub fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[derive(Debug, Clone, Default)]
struct Standing {
    /// Until when each lease is good.
    good: BTreeMap<RegionName, Duration>,
    /// Why the last renewal of a lease failed.
    trouble: BTreeMap<RegionName, String>,
    lost: Option<String>,
}

impl Standing {
    /// Which lease has expired, and why.
    fn expired(&self, now: Duration) -> Option<String> {
        let (region, _) = self.good.iter().find(|(_, until)| now >= **until)?;
        let because = self.trouble.get(region).map(|why| format!(": {why}")).unwrap_or_default();
        Some(format!("the lease of region `{region}` was not renewed in time{because}"))
    }
}

#[derive(Debug, Clone)]
pub struct Fence {
    standing: watch::Sender<Standing>,
    clock: fn() -> Duration,
}

impl Default for Fence {
    fn default() -> Self {
        Self::new(since_boot)
    }
}

impl Fence {
    /// Open, because nothing is held yet.
    pub fn new(clock: fn() -> Duration) -> Self {
        Self { standing: watch::Sender::default(), clock }
    }

    /// Whether every lease of this run is good.
    ///
    /// # Errors
    /// Once one is lost or has expired, with the reason.
    pub fn pass(&self) -> Result<()> {
        let expired = self.standing.borrow().expired((self.clock)());
        if let Some(why) = expired {
            self.lose(&why);
        }
        self.lost().map_or(Ok(()), |why| Err(Error::msg(Class::Conflict, why)))
    }

    /// A lease was taken or renewed.
    pub fn hold(&self, region: &RegionName, until: Duration) {
        self.standing.send_modify(|standing| {
            standing.good.insert(region.clone(), until);
            standing.trouble.remove(region);
        });
    }

    /// A renewal has failed.
    pub fn note(&self, region: &RegionName, why: &Error) {
        self.standing.send_modify(|standing| {
            standing.trouble.insert(region.clone(), why.to_string());
        });
    }

    /// A lease was returned: the run acts in its region no more.
    pub fn release(&self, region: &RegionName) {
        self.standing.send_modify(|standing| {
            standing.good.remove(region);
        });
    }

    /// Closes the fence.
    pub fn lose(&self, why: &str) {
        self.standing.send_modify(|standing| {
            standing.lost.get_or_insert_with(|| why.to_owned());
        });
    }

    /// Why it is closed; `None` if it is open.
    pub fn lost(&self) -> Option<String> {
        self.standing.borrow().lost.clone()
    }

    /// Waits until it is closed.
    pub async fn closed(&self) -> String {
        let mut changes = self.standing.subscribe();
        loop {
            if let Some(why) = changes.borrow_and_update().lost.clone() {
                return why;
            }
            // The sender is this value's own, so that it lives.
            drop(changes.changed().await);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::task::testing::paused;

    fn region() -> RegionName {
        "spain".parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_without_leases_and_one_with_good_leases_pass() {
        let fence = Fence::new(paused);
        fence.pass().unwrap();
        fence.hold(&region(), paused() + Duration::from_secs(60));
        fence.pass().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_expired_lease_closes_the_fence_and_says_what_hindered_its_renewal() {
        let fence = Fence::new(paused);
        fence.hold(&region(), paused() + Duration::from_secs(60));
        fence.note(&region(), &Error::transient("AWS answered with status 503"));
        advance(Duration::from_secs(60)).await;
        let error = fence.pass().unwrap_err().to_string();
        let expected = "the lease of region `spain` was not renewed in time: AWS answered with status 503";
        assert_eq!(error, expected);
        fence.hold(&region(), paused() + Duration::from_secs(60));
        assert!(fence.pass().is_err(), "another run may act by now");
        assert_eq!(fence.closed().await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_lease_closes_the_fence() {
        let fence = Fence::new(paused);
        fence.hold(&region(), paused() + Duration::from_secs(60));
        fence.lose("run 2 has taken the lease of region `spain`");
        assert_eq!(fence.pass().unwrap_err().to_string(), "run 2 has taken the lease of region `spain`");
    }

    #[tokio::test(start_paused = true)]
    async fn a_returned_lease_stops_nothing() {
        let fence = Fence::new(paused);
        fence.hold(&region(), paused());
        fence.release(&region());
        fence.pass().unwrap();
    }
}
