//! What happened to a payment, in order and never edited. Each event's hash covers the event and the hash before it, so
//! that an event that was edited or left out no longer fits its successor.
//!
//! An event holds no personal data: it is kept when a customer's data are erased.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::PaymentId;

/// SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first event of a payment follows.
    pub const NONE: Self = Self([0; 32]);
}

impl fmt::Debug for Hash {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, text)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(text, "{byte:02x}"))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub payment: PaymentId,
    /// 1 for a payment's first event. A payment's version is that of its last one.
    pub sequence: i32,
    /// Such as `payment.captured`.
    pub kind: String,
    /// JSON. Stored as text, because the hash covers these very bytes.
    pub data: String,
    pub at: Timestamp,
    pub hash: Hash,
}

impl Event {
    /// The event that follows the one with the hash `previous`.
    pub fn after(
        previous: Hash,
        payment: PaymentId,
        sequence: i32,
        kind: &str,
        data: String,
        at: Timestamp,
    ) -> Self {
        let mut event = Self { payment, sequence, kind: kind.to_owned(), data, at, hash: Hash::NONE };
        event.hash = event.hash_after(previous);
        event
    }

    /// The hash that this event must have if it follows the one with the hash `previous`. Each text is preceded by its
    /// length, so that no two events give the same bytes.
    pub fn hash_after(&self, previous: Hash) -> Hash {
        let length = |text: &str| u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes();
        let digest = Sha256::new()
            .chain_update(previous.0)
            .chain_update(self.payment.0.as_bytes())
            .chain_update(self.sequence.to_be_bytes())
            .chain_update(self.at.as_microsecond().to_be_bytes())
            .chain_update(length(&self.kind))
            .chain_update(&self.kind)
            .chain_update(length(&self.data))
            .chain_update(&self.data);
        Hash(digest.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_event_and_its_place_are_covered_by_its_hash() {
        let at = Timestamp::from_microsecond(1_795_299_048_379_400).unwrap();
        let event = Event::after(Hash::NONE, PaymentId::new(), 2, "payment.captured", "{}".to_owned(), at);
        assert_eq!(event.hash_after(Hash::NONE), event.hash);
        assert_ne!(event.hash_after(Hash([1; 32])), event.hash);
        let changes: [fn(&mut Event); 5] = [
            |event| event.payment = PaymentId::new(),
            |event| event.sequence += 1,
            |event| event.kind.push('s'),
            |event| event.data.insert(1, ' '),
            |event| event.at = Timestamp::from_microsecond(event.at.as_microsecond() + 1).unwrap(),
        ];
        for change in changes {
            let mut edited = event.clone();
            change(&mut edited);
            assert_ne!(edited.hash_after(Hash::NONE), event.hash, "{edited:?}");
        }
    }
}
