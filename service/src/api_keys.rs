//! The API keys for `/api/payment/simulate`: the current one and, during a rotation, the previous one.

use std::sync::{PoisonError, RwLock};

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::platform::secret::{SecretError, SecretFolder};

pub const CURRENT: &str = "API_SECRET_KEY";
pub const PREVIOUS: &str = "API_SECRET_KEY_PREVIOUS";

/// SHA-256 digests of the valid keys. The keys themselves are not kept in memory.
#[derive(Debug)]
pub struct ApiKeys(RwLock<Vec<[u8; 32]>>);

/// Keys as read from their source, before they take effect.
pub struct Keys {
    pub current: SecretString,
    pub previous: Option<SecretString>,
}

impl Keys {
    pub fn read(folder: &SecretFolder) -> Result<Self, SecretError> {
        Ok(Self { current: folder.read(CURRENT)?, previous: folder.read_optional(PREVIOUS)? })
    }

    fn digests(&self) -> Vec<[u8; 32]> {
        let keys = std::iter::once(&self.current).chain(&self.previous);
        keys.map(|key| digest(key.expose_secret().as_bytes())).collect()
    }
}

impl ApiKeys {
    pub fn new(keys: &Keys) -> Self {
        Self(RwLock::new(keys.digests()))
    }

    /// Replaces the valid keys; returns whether they changed.
    pub fn replace(&self, keys: &Keys) -> bool {
        let digests = keys.digests();
        let mut valid = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_change = *valid != digests;
        *valid = digests;
        is_change
    }

    /// Whether `presented` is a valid key. Compares digests in constant time and does not stop at the first
    /// match, so that the duration reveals nothing about the valid keys.
    pub fn accept(&self, presented: &[u8]) -> bool {
        let presented = digest(presented);
        let valid = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let any = valid.iter().fold(Choice::from(0), |any, key| any | key.ct_eq(&presented));
        any.into()
    }
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(current: &str, previous: Option<&str>) -> Keys {
        Keys { current: current.into(), previous: previous.map(SecretString::from) }
    }

    #[test]
    fn both_keys_are_valid_while_they_rotate() {
        let valid = ApiKeys::new(&keys("new", Some("old")));
        assert!(valid.accept(b"new") && valid.accept(b"old"));
        assert!(!valid.accept(b"ne") && !valid.accept(b"newer") && !valid.accept(b""));
    }

    #[test]
    fn a_replaced_key_is_rejected() {
        let valid = ApiKeys::new(&keys("old", None));
        assert!(valid.replace(&keys("new", None)));
        assert!(!valid.replace(&keys("new", None)));
        assert!(valid.accept(b"new") && !valid.accept(b"old"));
    }
}
