//! The key with which a client makes a request safe to repeat, and the fingerprint of what it asked for.

use std::fmt;

use sha2::{Digest, Sha256};

use super::contains_card_number;

/// In characters, as for other payment APIs.
const MAX_LENGTH: usize = 255;

/// A client's key. Unique within its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("must have 1 to {MAX_LENGTH} printable ASCII characters")]
    Malformed,
    #[error("contains a card number")]
    CardNumber,
}

impl IdempotencyKey {
    /// The key of a header's value: a string of RFC 9651 in quotes, as draft-ietf-httpapi-idempotency-key-header says, or
    /// the bare text, as most clients send it.
    pub fn parse(value: &str) -> Result<Self, KeyError> {
        let value = value.trim_matches([' ', '\t']);
        let key = match value.strip_prefix('"') {
            Some(rest) => unquote(rest).ok_or(KeyError::Malformed)?,
            None => value.to_owned(),
        };
        if key.is_empty() || key.len() > MAX_LENGTH || !key.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(KeyError::Malformed);
        }
        if contains_card_number(&key) {
            return Err(KeyError::CardNumber);
        }
        Ok(Self(key))
    }

    /// A key as it was stored.
    pub fn stored(key: String) -> Self {
        Self(key)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str(&self.0)
    }
}

/// The content of a quoted string whose opening quote has been read.
fn unquote(rest: &str) -> Option<String> {
    let mut key = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(key),
            '\\' => key.push(characters.next().filter(|character| matches!(character, '"' | '\\'))?),
            character => key.push(character),
        }
    }
}

/// Identifies what a request asks for: two requests with one key must have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of an operation, such as a route with its ids, and its parameters in a canonical form.
    pub fn of(operation: &str, parameters: &[u8]) -> Self {
        let length = u64::try_from(operation.len()).unwrap_or(u64::MAX);
        Self(
            Sha256::new()
                .chain_update(length.to_be_bytes())
                .chain_update(operation)
                .chain_update(parameters)
                .finalize()
                .into(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_with_and_without_quotes() {
        for (value, key) in [
            ("order-17", "order-17"),
            ("\"order-17\"", "order-17"),
            (" \"a \\\"b\\\" \\\\\" ", "a \"b\" \\"),
            ("a b", "a b"),
        ] {
            assert_eq!(IdempotencyKey::parse(value).unwrap().as_str(), key);
        }
    }

    #[test]
    fn a_malformed_key_is_refused() {
        let long = "k".repeat(256);
        for value in ["", " ", "\"\"", "\"a", "\"a\"b", "\"a\\b\"", "café", "a\tb", &long] {
            assert_eq!(IdempotencyKey::parse(value), Err(KeyError::Malformed), "{value}");
        }
        assert!(IdempotencyKey::parse(&long[1..]).is_ok());
        assert_eq!(IdempotencyKey::parse("card 4111 1111 1111 1111"), Err(KeyError::CardNumber));
    }

    #[test]
    fn the_border_between_operation_and_parameters_is_part_of_the_fingerprint() {
        assert_ne!(Fingerprint::of("ab", b"c"), Fingerprint::of("a", b"bc"));
    }
}
