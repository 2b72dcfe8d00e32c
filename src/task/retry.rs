//! The retry policy of all layers: only transient errors are retried, with exponential backoff and full jitter.
//!
//! 1. Before each retry the caller pauses for a random time between zero and a bound. The bound starts at `first_delay`
//!    and doubles until `longest_delay`. The pause is drawn from the whole range (full jitter) because callers that
//!    failed together, such as all regions during a throttled minute, would otherwise return together and be throttled
//!    again. AWS compares the variants in "Exponential Backoff And Jitter" (Architecture Blog, 2015).
//! 2. Retries end when `patience` has passed since the first failure. Time is counted, not attempts, because an outage
//!    lasts minutes whether an attempt fails at once or after a minute.
//! 3. An attempt that worked for [`LONG`] failed for a new reason: patience and backoff start over. Otherwise a step
//!    that creates a database for a quarter of an hour would not survive a second outage, or even a first one at its
//!    end.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

use super::{Class, Error, Result};

/// No client that paydeploy or its children use keeps trying to reach a server for this long.
const LONG: Duration = Duration::from_mins(10);

/// How long something is retried, and how long the pauses between attempts may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// From the first failure to the last retry.
    pub patience: Duration,
    /// The bound of the first pause.
    pub first_delay: Duration,
    /// No pause is longer.
    pub longest_delay: Duration,
}

impl Policy {
    /// Counts the attempts of one operation, the first of which starts now.
    pub fn start(self) -> Attempts {
        Attempts { policy: self, number: 1, started: Instant::now(), failing: None }
    }

    /// Calls `work` until it succeeds, fails in a way that a retry does not help, or patience has ended.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub async fn run<T, F, Fut>(self, mut work: F) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let mut attempts = self.start();
        loop {
            match work().await {
                Ok(done) => return Ok(done),
                Err(error) => match attempts.pause_after(&error) {
                    Some(pause) => tokio::time::sleep(pause.delay).await,
                    None => return Err(error),
                },
            }
        }
    }
}

/// The time before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    pub delay: Duration,
    /// How long retries continue if every attempt fails: from now, this pause included.
    pub remaining: Duration,
}

/// The attempts of one operation so far.
#[derive(Debug, Clone)]
pub struct Attempts {
    policy: Policy,
    number: u32,
    /// When the current attempt started.
    started: Instant,
    /// Since when attempts fail, and how many pauses there were since.
    failing: Option<(Instant, u32)>,
}

impl Attempts {
    /// The current attempt; the first is 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The pause before the next attempt; `None` if there is no next attempt. Counts the next attempt as started
    /// after the pause.
    pub fn pause_after(&mut self, error: &Error) -> Option<Pause> {
        if error.class != Class::Transient {
            return None;
        }
        let now = Instant::now();
        let failing = self.failing.filter(|_| now - self.started < LONG);
        let (since, pauses) = failing.unwrap_or((now, 0));
        let remaining = self.policy.patience.saturating_sub(now - since);
        if remaining.is_zero() {
            return None;
        }
        // The last attempt is at the end of patience and not before it.
        let delay = self.bound(pauses).mul_f64(random()).min(remaining);
        self.failing = Some((since, pauses + 1));
        self.started = now + delay;
        self.number += 1;
        Some(Pause { delay, remaining })
    }

    fn bound(&self, pauses: u32) -> Duration {
        self.policy.first_delay.saturating_mul(2_u32.saturating_pow(pauses)).min(self.policy.longest_delay)
    }
}

/// A random number from zero to one.
fn random() -> f64 {
    #[cfg(test)]
    if let Some(number) = testing::SEEDED.with_borrow_mut(|next| next.as_mut().map(|next| next())) {
        return number;
    }
    rand::random()
}

#[cfg(test)]
pub mod testing {
    use std::cell::RefCell;

    thread_local! {
        pub(super) static SEEDED: RefCell<Option<Box<dyn FnMut() -> f64>>> = RefCell::default();
    }

    /// From now on this thread's pauses are drawn from `next`, so that a test can be repeated exactly.
    pub fn draw_from(next: impl FnMut() -> f64 + 'static) {
        SEEDED.set(Some(Box::new(next)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        patience: Duration::from_mins(2),
        first_delay: Duration::from_secs(1),
        longest_delay: Duration::from_secs(5),
    };

    fn throttled() -> Error {
        Error::transient("throttled")
    }

    #[tokio::test(start_paused = true)]
    async fn the_bound_of_a_pause_doubles_up_to_the_longest() {
        let mut attempts = POLICY.start();
        let bounds = [0, 1, 2, 3, 4, u32::MAX].map(|pauses| attempts.bound(pauses).as_secs());
        assert_eq!(bounds, [1, 2, 4, 5, 5, 5]);
        for pauses in 0..5 {
            let delay = attempts.pause_after(&throttled()).unwrap().delay;
            assert!(delay <= attempts.bound(pauses), "{delay:?} is longer than the bound of pause {pauses}");
        }
        assert_eq!(attempts.number(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn callers_that_failed_together_do_not_return_together() {
        let delays = [(); 50].map(|()| POLICY.start().pause_after(&throttled()).unwrap().delay);
        assert!(delays.iter().any(|delay| *delay != delays[0]), "{delays:?}");
    }

    /// Runs attempts that take this long and fail until a time; returns what the last one returned, and when.
    async fn outage(takes: Duration, ends: Duration) -> (Result<()>, Duration) {
        let started = Instant::now();
        let result = POLICY.run(|| async {
            tokio::time::sleep(takes).await;
            if started.elapsed() < ends { Err(throttled()) } else { Ok(()) }
        });
        (result.await, started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_that_is_shorter_than_the_patience_fails_nothing() {
        for takes in [0, 1, 50] {
            let (result, _) = outage(Duration::from_secs(takes), Duration::from_secs(119)).await;
            result.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_longer_outage_ends_the_retries_when_the_patience_has_passed() {
        let second = Duration::from_secs(1);
        let (result, after) = outage(second, Duration::MAX).await;
        result.unwrap_err();
        assert!((POLICY.patience..POLICY.patience + 3 * second).contains(&after), "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_worked_for_long_before_it_failed_has_all_patience_again() {
        let mut attempts = POLICY.start();
        attempts.pause_after(&throttled()).unwrap();
        tokio::time::advance(LONG + Duration::from_secs(5)).await;
        let pause = attempts.pause_after(&throttled()).unwrap();
        assert_eq!(pause.remaining, POLICY.patience);
        assert!(pause.delay <= POLICY.first_delay);
    }

    #[tokio::test(start_paused = true)]
    async fn only_transient_errors_are_retried() {
        for class in [Class::Permanent, Class::Conflict, Class::Refused] {
            let mut calls = 0;
            let failed: Result<()> = POLICY
                .run(|| {
                    calls += 1;
                    async move { Err(Error::msg(class, "no")) }
                })
                .await;
            assert_eq!((failed.unwrap_err().class, calls), (class, 1));
        }
    }
}
