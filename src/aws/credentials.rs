//! Credentials that are asked for once and shared: by all clients of a run, and by its children (`lend`).
//!
//! A source may be a person's SSO session, a program, or a chain of roles. The SDK's own cache renews ten seconds before the
//! end and knows nothing of children, so it is turned off.

use std::time::{Duration, SystemTime};

use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use tokio::sync::Mutex;

/// Credentials are renewed when less than this remains, so that a child gets some that last, and a source that fails can
/// be asked again.
const RENEW_BEFORE: Duration = Duration::from_mins(5);
/// How long a source may take. One of them is a person who touches a key.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long it may take while its last credentials are still valid: a lease has to be renewed meanwhile.
const SHORT_PATIENCE: Duration = Duration::from_secs(5);
/// From a failure of the source until it is asked again, while its last credentials are still valid.
const PAUSE: Duration = Duration::from_secs(10);

/// A source that is asked only when its last answer is about to expire.
#[derive(Debug)]
pub struct Shared {
    source: SharedCredentialsProvider,
    /// The last answer, and until when it is used without asking; `None` if it does not end.
    held: Mutex<Option<(Credentials, Option<SystemTime>)>>,
    clock: fn() -> SystemTime,
}

impl Shared {
    pub fn new(source: SharedCredentialsProvider) -> Self {
        Self { source, held: Mutex::default(), clock: SystemTime::now }
    }

    async fn provide(&self) -> provider::Result {
        // Held while the source is asked: others would ask it as well.
        let mut held = self.held.lock().await;
        let now = (self.clock)();
        if let Some((credentials, until)) = &*held
            && until.is_none_or(|until| now < until)
        {
            return Ok(credentials.clone());
        }
        let valid = held.as_ref().map(|(credentials, _)| credentials.clone());
        let valid = valid.filter(|credentials| credentials.expiry().is_none_or(|end| now < end));
        let patience = if valid.is_some() { SHORT_PATIENCE } else { PATIENCE };
        let asked = tokio::time::timeout(patience, self.source.provide_credentials()).await;
        match (asked.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(patience))), valid) {
            (Ok(credentials), _) => {
                *held = Some((credentials.clone(), until(&credentials, now)));
                Ok(credentials)
            }
            (Err(_), Some(valid)) => {
                *held = Some((valid.clone(), Some(now + PAUSE)));
                Ok(valid)
            }
            (Err(error), None) => Err(error),
        }
    }
}

/// Until when credentials are used without asking for others.
fn until(credentials: &Credentials, now: SystemTime) -> Option<SystemTime> {
    let remaining = credentials.expiry()?.duration_since(now).unwrap_or_default();
    // A source may hold its own credentials back until shortly before their end.
    Some(now + remaining.saturating_sub(RENEW_BEFORE.min(remaining / 2)))
}

impl ProvideCredentials for Shared {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;

    static START: LazyLock<SystemTime> = LazyLock::new(SystemTime::now);

    /// A source whose credentials last for a while, and that can fail. Each answer has another key.
    #[derive(Debug, Default)]
    struct Source {
        lasts: Option<Duration>,
        asked: AtomicU64,
        fails_from: Option<u64>,
    }

    impl ProvideCredentials for Source {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.asked.fetch_add(1, Ordering::Relaxed);
            if self.fails_from.is_some_and(|from| number >= from) {
                return future::ProvideCredentials::ready(Err(CredentialsError::provider_error(
                    "the portal is down",
                )));
            }
            let end = self.lasts.map(|lasts| *START + lasts);
            let credentials = Credentials::new(format!("key-{number}"), "secret", None, end, "test");
            future::ProvideCredentials::ready(Ok(credentials))
        }
    }

    /// The keys that are provided at these minutes.
    async fn keys<const N: usize>(source: Source, at: [(u64, fn() -> SystemTime); N]) -> [String; N] {
        let mut shared = Shared::new(SharedCredentialsProvider::new(source));
        let mut keys = [const { String::new() }; N];
        for (key, (_, clock)) in keys.iter_mut().zip(at) {
            shared.clock = clock;
            *key = match shared.provide_credentials().await {
                Ok(credentials) => credentials.access_key_id().to_owned(),
                Err(error) => format!("{error}"),
            };
        }
        keys
    }

    macro_rules! at {
        ($($minutes:literal),*) => { [$(($minutes, || *START + Duration::from_mins($minutes))),*] };
    }

    #[tokio::test]
    async fn a_source_is_asked_again_five_minutes_before_the_end() {
        let source = Source { lasts: Some(Duration::from_mins(60)), ..Source::default() };
        assert_eq!(keys(source, at![0, 54, 56]).await, ["key-0", "key-0", "key-1"]);
    }

    #[tokio::test]
    async fn credentials_that_end_soon_anyway_are_used_for_half_of_their_time() {
        let source = Source { lasts: Some(Duration::from_mins(4)), ..Source::default() };
        assert_eq!(keys(source, at![0, 1, 3]).await, ["key-0", "key-0", "key-1"]);
    }

    #[tokio::test]
    async fn credentials_without_an_end_are_asked_for_once() {
        assert_eq!(keys(Source::default(), at![0, 4, 600]).await, ["key-0", "key-0", "key-0"]);
    }

    #[tokio::test]
    async fn while_a_source_fails_its_last_credentials_are_used_until_they_end() {
        let lasts = Some(Duration::from_mins(60));
        let source = Source { lasts, fails_from: Some(1), ..Source::default() };
        let keys = keys(source, at![0, 57, 61]).await;
        assert_eq!(keys[..2], ["key-0", "key-0"]);
        assert!(keys[2].contains("an error occurred"), "{keys:?}");
    }
}
