//! Whether this run may act: the question before each call and each child process.
//!
//! A run holds one lease per region (`lease`). Each is good until a moment on this machine's own clock, which its next
//! renewal moves on. One that was not renewed in time, as in an outage or while a machine was suspended, has expired:
//! nothing may start in its region, because another run may act there soon. A late renewal that succeeds proves that none
//! has. Once another run has the lease, it is lost for good, and the whole run stops.

use std::{collections::BTreeMap, time::Duration};

use tokio::sync::watch;

use super::{Class, Error, RegionName, Result};

/// From the moment at which a lease has expired to the moment at which another run may take it over. Calls that had passed
/// the fence end in it, and children that were interrupted save their state.
pub const MARGIN: Duration = Duration::from_secs(120);
/// When in the margin a child that has not ended is killed: ten seconds are enough for its end, also on a busy machine.
pub const KILLED_AFTER: Duration = Duration::from_secs(110);
/// A renewal that comes so shortly before the end of a lease may reach the process that guards the children after it.
const CLOSE: Duration = Duration::from_secs(2);
/// How often the time is looked at: a timer does not count the time in which the machine sleeps.
const TICK: Duration = Duration::from_secs(1);

/// The time since the machine's boot, which also passes while the machine sleeps.
pub fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Where something acts.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// In a region, or in none: then in any.
    Region(Option<&'a RegionName>),
    /// In an AWS region, which several regions may have.
    Aws(&'a str),
}

#[derive(Debug, Clone, Default)]
struct Standing {
    /// The AWS region of each region.
    places: BTreeMap<RegionName, String>,
    /// Until when each lease is good.
    good: BTreeMap<RegionName, Duration>,
    /// Why the last renewal of a lease failed.
    trouble: BTreeMap<RegionName, String>,
    /// The first lease that is lost, and its region.
    lost: Option<(RegionName, Shut)>,
    /// For each lease that had expired, or nearly, and could be renewed after all: why, and when it was renewed.
    lapsed: BTreeMap<RegionName, (String, Duration)>,
}

/// Why nothing may start.
#[derive(Debug, Clone)]
struct Shut {
    why: String,
    /// Since when. Another run may act one [`MARGIN`] later.
    since: Duration,
}

impl Standing {
    fn is_in(&self, region: &RegionName, place: Place<'_>) -> bool {
        match place {
            Place::Region(wanted) => wanted.is_none_or(|wanted| wanted == region),
            Place::Aws(wanted) => self.places.get(region).is_none_or(|place| place == wanted),
        }
    }

    /// The lease that has been expired for the longest time.
    fn expired(&self, place: Place<'_>, now: Duration) -> Option<Shut> {
        let expired = self.good.iter().filter(|(region, until)| now >= **until && self.is_in(region, place));
        let (region, until) = expired.min_by_key(|(_, until)| **until)?;
        let because = self.trouble.get(region).map(|why| format!(": {why}")).unwrap_or_default();
        let why = format!("the lease of region `{region}` was not renewed in time{because}");
        Some(Shut { why, since: *until })
    }

    /// Why a lease there that was renewed since a moment had expired, or nearly.
    fn lapsed(&self, place: Place<'_>, since: Duration) -> Option<String> {
        let mut lapsed = self.lapsed.iter().filter(|(region, _)| self.is_in(region, place));
        lapsed.find(|(_, (_, at))| *at >= since).map(|(_, (why, _))| why.clone())
    }

    fn until(&self, place: Place<'_>) -> Option<Duration> {
        let good = self.good.iter().filter(|(region, _)| self.is_in(region, place)).map(|(_, until)| *until);
        let lost =
            self.lost.iter().filter(|(region, _)| self.is_in(region, place)).map(|(_, lost)| lost.since);
        good.chain(lost).min()
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

    /// Tells in which AWS region a region is.
    pub fn locate(&self, region: &RegionName, aws_region: &str) {
        self.standing.send_modify(|standing| {
            standing.places.insert(region.clone(), aws_region.to_owned());
        });
    }

    /// Whether this run may act in a place.
    ///
    /// # Errors
    /// Transient while the lease there has expired, and [`Class::Cancelled`] once any lease is lost: the run is stopping then,
    /// and says why at its end.
    pub fn pass(&self, place: Place<'_>) -> Result<()> {
        let standing = self.standing.borrow();
        if let Some((_, lost)) = &standing.lost {
            return Err(Error::msg(Class::Cancelled, &lost.why));
        }
        standing.expired(place, (self.clock)()).map_or(Ok(()), |expired| Err(Error::transient(expired.why)))
    }

    /// A lease was taken or renewed.
    pub fn hold(&self, region: &RegionName, until: Duration) {
        let now = (self.clock)();
        self.standing.send_modify(|standing| {
            if let Some(expired) = standing.expired(Place::Region(Some(region)), now + CLOSE) {
                standing.lapsed.insert(region.clone(), (expired.why, now));
            }
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

    /// A region's lease is another run's, or is deleted.
    pub fn lose(&self, region: &RegionName, why: &str) {
        let now = (self.clock)();
        self.standing.send_modify(|standing| {
            // Another run may have taken it over long ago, at the end of the margin.
            let since = standing.good.get(region).map_or(now, |until| now.min(*until));
            standing.lost.get_or_insert_with(|| (region.clone(), Shut { why: why.to_owned(), since }));
        });
    }

    /// Why a lease is lost; `None` if none is.
    pub fn lost(&self) -> Option<String> {
        self.standing.borrow().lost.as_ref().map(|(_, lost)| lost.why.clone())
    }

    /// Waits until a lease is lost, and returns why.
    pub async fn closed(&self) -> String {
        let mut changes = self.standing.subscribe();
        loop {
            if let Some((_, lost)) = &changes.borrow_and_update().lost {
                return lost.why.clone();
            }
            // The sender is this value's own, so that it lives.
            drop(changes.changed().await);
        }
    }

    /// Waits until nothing may start in a place, and returns why: what runs there has to come to its end.
    pub async fn shut(&self, place: Place<'_>) -> Error {
        loop {
            if let Err(error) = self.pass(place) {
                return error;
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Why a child that started at a moment may have been interrupted: it may not run now, or was not allowed to for a while,
    /// perhaps one in which this process did not run.
    pub fn was_shut(&self, place: Place<'_>, since: Duration) -> Option<Error> {
        let lapsed = || self.standing.borrow().lapsed(place, since).map(Error::transient);
        self.pass(place).err().or_else(lapsed)
    }

    /// Whether a child that started at a moment may have been interrupted because of the time, or will be shortly.
    pub fn is_timed_out(&self, place: Place<'_>, since: Duration) -> bool {
        let close = (self.clock)() + CLOSE;
        let standing = self.standing.borrow();
        standing.until(place).is_some_and(|until| close >= until) || standing.lapsed(place, since).is_some()
    }

    /// The moment from which nothing may run in a place; `None` without a lease there.
    pub fn until(&self, place: Place<'_>) -> Option<Duration> {
        self.standing.borrow().until(place)
    }

    /// Waits until that moment is another one than `known`, and returns it.
    pub async fn moved(&self, place: Place<'_>, known: Option<Duration>) -> Option<Duration> {
        let mut changes = self.standing.subscribe();
        loop {
            let until = changes.borrow_and_update().until(place);
            if until != known {
                return until;
            }
            // The sender is this value's own, so that it lives.
            drop(changes.changed().await);
        }
    }

    /// Waits until a child has to be gone, because another run may act in its place soon.
    pub async fn is_over(&self, place: Place<'_>) {
        let is_over = || {
            let (standing, now) = (self.standing.borrow(), (self.clock)());
            // One that acts elsewhere is interrupted as well, and may end in its own time: its lease is good.
            let lost = standing.lost.as_ref().filter(|(region, _)| standing.is_in(region, place));
            let shut = lost.map(|(_, lost)| lost.clone()).or_else(|| standing.expired(place, now));
            shut.is_some_and(|shut| now >= shut.since + KILLED_AFTER)
        };
        while !is_over() {
            tokio::time::sleep(TICK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tokio::time::advance;

    use super::*;
    use crate::task::testing::paused;

    const LEASE: Duration = Duration::from_secs(60);

    const ANYWHERE: Place<'_> = Place::Region(None);

    fn region() -> RegionName {
        "spain".parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_without_leases_and_one_with_good_leases_pass() {
        let fence = Fence::new(paused);
        fence.pass(ANYWHERE).unwrap();
        fence.hold(&region(), paused() + LEASE);
        fence.pass(ANYWHERE).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_starts_while_a_lease_has_expired_and_the_reason_is_what_hindered_its_renewal() {
        let fence = Fence::new(paused);
        fence.hold(&region(), paused() + LEASE);
        fence.note(&region(), &Error::transient("AWS answered with status 503"));
        advance(LEASE).await;
        let error = fence.pass(ANYWHERE).unwrap_err();
        let expected = "the lease of region `spain` was not renewed in time: AWS answered with status 503";
        assert_eq!((error.class, error.to_string().as_str()), (Class::Transient, expected));
        // A renewal that succeeds proves that no other run has had it.
        fence.hold(&region(), paused() + LEASE);
        fence.pass(ANYWHERE).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_region_whose_bucket_does_not_answer_stops_nothing_elsewhere_until_its_lease_is_lost() {
        let fence = Fence::new(paused);
        let mexico = "mexico".parse().unwrap();
        fence.locate(&region(), "eu-south-2");
        fence.locate(&mexico, "us-east-1");
        fence.hold(&region(), paused() + LEASE);
        fence.hold(&mexico, paused() + LEASE * 10);
        advance(LEASE).await;
        let elsewhere = [Place::Region(Some(&mexico)), Place::Aws("us-east-1")];
        for place in [Place::Region(Some(&region())), Place::Aws("eu-south-2"), ANYWHERE] {
            assert_eq!(fence.pass(place).unwrap_err().class, Class::Transient, "{place:?}");
        }
        assert!(elsewhere.iter().all(|place| fence.pass(*place).is_ok()));
        fence.lose(&region(), "run 2 has taken the lease of region `spain`");
        assert!(elsewhere.iter().all(|place| fence.pass(*place).is_err()));
        advance(MARGIN).await;
        fence.is_over(Place::Region(Some(&region()))).await;
        assert!(
            fence.is_over(Place::Region(Some(&mexico))).now_or_never().is_none(),
            "it has time to save its state"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_lease_closes_the_fence_for_good() {
        let fence = Fence::new(paused);
        fence.hold(&region(), paused() + LEASE);
        fence.lose(&region(), "run 2 has taken the lease of region `spain`");
        fence.hold(&region(), paused() + LEASE);
        let error = fence.pass(ANYWHERE).unwrap_err();
        let expected = "run 2 has taken the lease of region `spain`";
        assert_eq!((error.class, error.to_string().as_str()), (Class::Cancelled, expected));
        assert_eq!(fence.closed().await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_returned_lease_stops_nothing() {
        let fence = Fence::new(paused);
        fence.hold(&region(), paused());
        fence.release(&region());
        fence.pass(ANYWHERE).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_was_renewed_late_explains_why_a_child_was_interrupted() {
        let fence = Fence::new(paused);
        fence.hold(&region(), paused() + LEASE);
        let started = paused();
        fence.hold(&region(), paused() + LEASE);
        assert!(fence.was_shut(ANYWHERE, started).is_none());
        advance(LEASE).await;
        assert_eq!(fence.was_shut(ANYWHERE, started).unwrap().class, Class::Transient);
        fence.hold(&region(), paused() + LEASE);
        let why = fence.was_shut(Place::Region(Some(&region())), started).unwrap();
        assert_eq!(why.to_string(), "the lease of region `spain` was not renewed in time");
        let mexico = "mexico".parse().unwrap();
        assert!(fence.was_shut(Place::Region(Some(&mexico)), started).is_none());
        advance(Duration::from_secs(1)).await;
        assert!(fence.was_shut(ANYWHERE, paused()).is_none(), "it started after that");
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_may_have_been_interrupted_from_shortly_before_the_end_of_its_lease_on() {
        let fence = Fence::new(paused);
        let (spain, mexico) = (region(), "mexico".parse().unwrap());
        fence.hold(&spain, paused() + LEASE);
        fence.hold(&mexico, paused() + LEASE * 10);
        let started = paused();
        let is_timed_out = |place: &RegionName| fence.is_timed_out(Place::Region(Some(place)), started);
        advance(LEASE.saturating_sub(CLOSE * 2)).await;
        assert!(!is_timed_out(&spain));
        advance(CLOSE).await;
        assert!(is_timed_out(&spain) && !is_timed_out(&mexico));
        // Renewed in time, but perhaps too late for the guard.
        fence.hold(&spain, paused() + LEASE);
        assert!(is_timed_out(&spain) && fence.was_shut(ANYWHERE, started).is_some());
        // Lost in one region: what runs in another one is interrupted as well, though not because of the time.
        fence.lose(&spain, "run 2 has taken the lease of region `spain`");
        assert!(!is_timed_out(&mexico));
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_may_run_as_long_as_the_first_of_the_leases_in_its_place_is_good() {
        let fence = Fence::new(paused);
        let mexico = "mexico".parse().unwrap();
        let first = paused() + LEASE;
        assert!(fence.moved(ANYWHERE, None).now_or_never().is_none());
        fence.hold(&region(), first);
        fence.hold(&mexico, first + LEASE);
        assert_eq!(fence.moved(ANYWHERE, None).await, Some(first));
        assert_eq!(fence.moved(Place::Region(Some(&mexico)), None).await, Some(first + LEASE));
        fence.hold(&region(), first + LEASE * 2);
        assert_eq!(fence.moved(ANYWHERE, Some(first)).await, Some(first + LEASE));
        advance(Duration::from_secs(1)).await;
        fence.lose(&mexico, "run 2 has taken the lease of region `mexico`");
        assert_eq!(fence.moved(ANYWHERE, Some(first + LEASE)).await, Some(paused()));
        fence.release(&region());
        assert_eq!(fence.moved(Place::Region(Some(&region())), Some(first + LEASE * 2)).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_has_to_be_gone_before_another_run_may_act() {
        let fence = Fence::new(paused);
        let until = paused() + LEASE;
        fence.hold(&region(), until);
        fence.shut(ANYWHERE).await;
        // A machine that was suspended notices late, and another run does not wait for it.
        advance(Duration::from_secs(100)).await;
        assert!(fence.is_over(ANYWHERE).now_or_never().is_none());
        fence.is_over(ANYWHERE).await;
        assert!(paused() >= until + KILLED_AFTER && paused() < until + MARGIN);
    }
}
