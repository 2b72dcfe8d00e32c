//! The retry policy of all layers: only transient errors are retried, with exponential backoff and full jitter.
//!
//! Before attempt n + 1 the caller pauses for a random time between zero and a bound. The bound starts at
//! `first_delay` and doubles until `longest_delay`. The pause is drawn from the whole range (full jitter) because
//! callers that failed together, such as all regions during a throttled minute, would otherwise return together
//! and be throttled again. AWS compares the variants in "Exponential Backoff And Jitter" (Architecture Blog, 2015).

use std::{future::Future, time::Duration};

use super::{Class, Error, Result};

/// How often something is attempted, and how long the pauses between attempts may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// All attempts, the first included.
    pub attempts: u32,
    /// The bound of the first pause.
    pub first_delay: Duration,
    /// No pause is longer.
    pub longest_delay: Duration,
}

impl Policy {
    /// Counts the attempts of one operation.
    pub fn start(self) -> Attempts {
        Attempts { policy: self, number: 1 }
    }

    /// Calls `work` until it succeeds, fails in a way that a retry does not help, or no attempt remains.
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
                Err(error) => match attempts.delay_after(&error) {
                    Some(delay) => tokio::time::sleep(delay).await,
                    None => return Err(error),
                },
            }
        }
    }
}

/// The attempts of one operation so far.
#[derive(Debug, Clone)]
pub struct Attempts {
    policy: Policy,
    number: u32,
}

impl Attempts {
    /// The current attempt; the first is 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The pause before the next attempt; `None` if there is no next attempt. Counts the next attempt as started.
    pub fn delay_after(&mut self, error: &Error) -> Option<Duration> {
        if error.class != Class::Transient || self.number >= self.policy.attempts {
            return None;
        }
        let bound = self.bound();
        self.number += 1;
        Some(bound.mul_f64(rand::random()))
    }

    fn bound(&self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.number - 1);
        self.policy.first_delay.saturating_mul(doubled).min(self.policy.longest_delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy =
        Policy { attempts: 6, first_delay: Duration::from_secs(1), longest_delay: Duration::from_secs(5) };

    fn throttled() -> Error {
        Error::transient("throttled")
    }

    #[test]
    fn the_bound_of_a_pause_doubles_up_to_the_longest() {
        let mut attempts = POLICY.start();
        let mut bounds = Vec::new();
        loop {
            let bound = attempts.bound();
            let Some(delay) = attempts.delay_after(&throttled()) else { break };
            assert!(delay <= bound, "{delay:?} is longer than {bound:?}");
            bounds.push(bound.as_secs());
        }
        assert_eq!(bounds, [1, 2, 4, 5, 5]);
        assert_eq!(attempts.number(), 6);
    }

    #[test]
    fn callers_that_failed_together_do_not_return_together() {
        let delays = [(); 50].map(|()| POLICY.start().delay_after(&throttled()).unwrap());
        assert!(delays.iter().any(|delay| *delay != delays[0]), "{delays:?}");
    }

    #[test]
    fn a_policy_of_many_attempts_does_not_overflow() {
        let mut attempts = Attempts { policy: Policy { attempts: u32::MAX, ..POLICY }, number: 1_000_000 };
        assert!(attempts.delay_after(&throttled()).unwrap() <= POLICY.longest_delay);
    }

    #[tokio::test(start_paused = true)]
    async fn only_transient_errors_are_retried() {
        for (class, expected) in [(Class::Transient, 6), (Class::Permanent, 1), (Class::Conflict, 1)] {
            let mut calls = 0;
            let failed: Result<()> = POLICY
                .run(|| {
                    calls += 1;
                    async move { Err(Error::msg(class, "no")) }
                })
                .await;
            assert_eq!((failed.unwrap_err().class, calls), (class, expected));
        }
    }
}
