//! The API keys of accounts: made by an operator, checked at each request without asking the database.
//!
//! A background task keeps all valid keys in memory. It asks once per second whether any has changed, so a new or revoked
//! key usually takes effect within two seconds. If it cannot ask, what it knows is used for [`MAX_AGE`] and no longer: a key
//! that was revoked meanwhile must not stay valid.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::store::{Credential, Store, StoreError};

const PERIOD: Duration = Duration::from_secs(1);
/// How old the known keys may be.
const MAX_AGE: Duration = Duration::from_secs(5);
/// Marks the key in the hands of those who search for leaked ones.
const PREFIX: &str = "sk_";

/// A new key, which is shown once. 256 random bits.
pub fn new_key() -> SecretString {
    let bytes: [u8; 32] = rand::random();
    SecretString::from(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// What is stored of a key. No salt and no slow hash: the key is random, not chosen.
pub fn digest(key: &SecretString) -> [u8; 32] {
    digest_of(key.expose_secret().as_bytes())
}

fn digest_of(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// The valid keys, by their digests. Looking one up takes a time that depends on the digests, of which a client who tries
/// keys can choose none.
#[derive(Default)]
pub struct Accounts(RwLock<Known>);

#[derive(Default)]
struct Known {
    credentials: HashMap<[u8; 32], Arc<Credential>>,
    version: (i64, i64),
    as_of: Option<Instant>,
}

/// The keys could not be read for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale;

impl Accounts {
    /// Whose key `presented` is; `None` if it is not valid.
    pub fn find(&self, presented: &[u8], now: Instant) -> Result<Option<Arc<Credential>>, Stale> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if known.as_of.is_none_or(|as_of| now.saturating_duration_since(as_of) > MAX_AGE) {
            return Err(Stale);
        }
        Ok(known.credentials.get(&digest_of(presented)).map(Arc::clone))
    }

    fn version(&self) -> Option<(i64, i64)> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.as_of.map(|_| known.version)
    }

    /// The keys of `version` are still the valid ones.
    fn confirm(&self, as_of: Instant) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).as_of = Some(as_of);
    }

    fn replace(&self, credentials: Vec<([u8; 32], Credential)>, version: (i64, i64), as_of: Instant) {
        let credentials = credentials.into_iter().map(|(digest, credential)| (digest, Arc::new(credential)));
        let known = Known { credentials: credentials.collect(), version, as_of: Some(as_of) };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = known;
    }
}

/// Keeps `accounts` up to date. Never returns.
pub async fn watch(accounts: Arc<Accounts>, store: Store) {
    loop {
        if let Err(error) = refresh(&accounts, &store).await {
            // An outage is reported by the check of the database.
            tracing::debug!("failed to read the API keys: {error}");
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn refresh(accounts: &Accounts, store: &Store) -> Result<(), StoreError> {
    let as_of = Instant::now();
    // Before the keys themselves: a change between the two is noticed the next time.
    let version = store.keys_version().await?;
    if accounts.version() == Some(version) {
        accounts.confirm(as_of);
    } else {
        accounts.replace(store.credentials().await?, version, as_of);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AccountId, ApiKeyId};

    #[test]
    fn a_key_that_is_replaced_is_no_longer_valid() {
        let accounts = Accounts::default();
        let now = Instant::now();
        let (old, new) = (new_key(), new_key());
        let credential = Credential { key: ApiKeyId::new(), account: AccountId::new(), scopes: Vec::new() };
        let find = |key: &SecretString| accounts.find(key.expose_secret().as_bytes(), now).unwrap();
        accounts.replace(vec![(digest(&old), credential.clone())], (1, 0), now);
        assert_eq!(find(&old).as_deref(), Some(&credential));
        accounts.replace(vec![(digest(&new), credential.clone())], (2, 1), now);
        assert_eq!(find(&old), None);
        assert_eq!(find(&new).as_deref(), Some(&credential));
    }

    #[test]
    fn keys_are_not_used_when_they_are_too_old_or_were_never_read() {
        let accounts = Accounts::default();
        let read = Instant::now();
        assert_eq!(accounts.find(b"key", read), Err(Stale));
        accounts.replace(Vec::new(), (0, 0), read);
        assert_eq!(accounts.find(b"key", read + MAX_AGE), Ok(None));
        assert_eq!(accounts.find(b"key", read + MAX_AGE + Duration::from_millis(1)), Err(Stale));
        accounts.confirm(read + MAX_AGE);
        assert_eq!(accounts.find(b"key", read + 2 * MAX_AGE), Ok(None));
    }
}
