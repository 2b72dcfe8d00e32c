//! Seals over the events of all payments. A chain of hashes per payment shows that an event was edited or is missing in the
//! middle. It does not show that a payment's last events, or all of them, were removed together with the payment. A seal
//! lists the events of a span of time, and its hash covers the list and the seal before it.
//!
//! Whoever can rewrite the database can rewrite the seals as well. Each seal's hash is therefore logged, and
//! [`Finding::Anchor`] is what a hash from the log finds.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};

use super::{Event, Hash, PaymentId};

const ENTRY_BYTES: usize = 52;

/// One event in a seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub payment: PaymentId,
    pub sequence: i32,
    pub hash: Hash,
}

impl Entry {
    fn bytes(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..16].copy_from_slice(self.payment.0.as_bytes());
        bytes[16..20].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[20..].copy_from_slice(&self.hash.0);
        bytes
    }

    fn of(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let (id, rest) = bytes.split_first_chunk::<16>().expect("an entry has 52 bytes");
        let (sequence, rest) = rest.split_first_chunk::<4>().expect("an entry has 52 bytes");
        let hash = rest.first_chunk::<32>().expect("an entry has 52 bytes");
        Self {
            payment: PaymentId(uuid::Uuid::from_bytes(*id)),
            sequence: i32::from_be_bytes(*sequence),
            hash: Hash(*hash),
        }
    }
}

/// A seal without what it lists: all that the seal after it depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// 1 for the first seal, without a gap.
    pub number: i64,
    /// The position of the last event that the seal covers.
    pub through: i64,
    pub hash: Hash,
}

impl Mark {
    /// What the first seal follows.
    pub const NONE: Self = Self { number: 0, through: 0, hash: Hash::NONE };
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    pub mark: Mark,
    pub entries: Vec<u8>,
}

impl Seal {
    /// The seal that follows `previous` and covers `entries`.
    pub fn after(previous: Mark, through: i64, entries: &[Entry]) -> Self {
        let entries = entries.iter().flat_map(Entry::bytes).collect();
        let mark = Mark { number: previous.number + 1, through, hash: Hash::NONE };
        let mut seal = Self { mark, entries };
        seal.mark.hash = seal.hash_after(previous.hash);
        seal
    }

    fn hash_after(&self, previous: Hash) -> Hash {
        let digest = Sha256::new()
            .chain_update(previous.0)
            .chain_update(self.mark.number.to_be_bytes())
            .chain_update(self.mark.through.to_be_bytes())
            .chain_update(&self.entries);
        Hash(digest.finalize().into())
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        self.entries.as_chunks().0.iter().map(Entry::of)
    }
}

/// What does not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    EventEdited {
        payment: PaymentId,
        sequence: i32,
    },
    EventRemoved {
        payment: PaymentId,
        sequence: i32,
    },
    /// In a span of time that has been sealed without it.
    EventAdded {
        payment: PaymentId,
        sequence: i32,
    },
    PaymentRemoved {
        payment: PaymentId,
    },
    /// The payment names another last event than the one that it has.
    PaymentEdited {
        payment: PaymentId,
    },
    SealEdited {
        number: i64,
    },
    SealRemoved {
        number: i64,
    },
    /// The seal is not the one that was logged.
    Anchor {
        number: i64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EventEdited { payment, sequence } => {
                write!(text, "event {sequence} of {payment} was edited")
            }
            Self::EventRemoved { payment, sequence } => {
                write!(text, "event {sequence} of {payment} was removed")
            }
            Self::EventAdded { payment, sequence } => {
                write!(text, "event {sequence} of {payment} was added after its time was sealed")
            }
            Self::PaymentRemoved { payment } => write!(text, "{payment} was removed"),
            Self::PaymentEdited { payment } => write!(text, "{payment} does not name its last event"),
            Self::SealEdited { number } => write!(text, "seal {number} was edited"),
            Self::SealRemoved { number } => write!(text, "seal {number} was removed"),
            Self::Anchor { number } => write!(text, "seal {number} is not the one that was logged"),
        }
    }
}

/// Checks the events of one payment, in order, against each other and against the payment's last version and hash.
pub fn check_payment(payment: PaymentId, version: i32, head: Hash, events: &[Event]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut previous, mut expected) = (Hash::NONE, 1);
    for event in events {
        let is_gap = event.sequence != expected;
        findings
            .extend((expected..event.sequence).map(|sequence| Finding::EventRemoved { payment, sequence }));
        // After a gap, the hash that it follows is unknown.
        if !is_gap && event.hash != event.hash_after(previous) {
            findings.push(Finding::EventEdited { payment, sequence: event.sequence });
        }
        (previous, expected) = (event.hash, event.sequence + 1);
    }
    findings.extend((expected..=version).map(|sequence| Finding::EventRemoved { payment, sequence }));
    if expected > version + 1 || (expected == version + 1 && previous != head) {
        findings.push(Finding::PaymentEdited { payment });
    }
    findings
}

/// Checks a seal against the one before it, and the events of its span against it.
pub fn check_seal(previous: Mark, seal: &Seal, events: &[Entry]) -> Vec<Finding> {
    let (number, expected) = (seal.mark.number, previous.number + 1);
    let mut findings: Vec<Finding> =
        (expected..number).map(|number| Finding::SealRemoved { number }).collect();
    let is_gap = number != expected;
    if !is_gap && seal.mark.hash != seal.hash_after(previous.hash) {
        findings.push(Finding::SealEdited { number });
    }
    let key = |entry: &Entry| (entry.payment, entry.sequence);
    let mut found: BTreeMap<_, _> = events.iter().map(|entry| (key(entry), entry.hash)).collect();
    for entry in seal.entries() {
        let (payment, sequence) = key(&entry);
        match found.remove(&(payment, sequence)) {
            None => findings.push(Finding::EventRemoved { payment, sequence }),
            Some(hash) if hash != entry.hash => findings.push(Finding::EventEdited { payment, sequence }),
            Some(_) => {}
        }
    }
    // Those of a removed seal are not listed anywhere.
    if !is_gap {
        findings
            .extend(found.into_keys().map(|(payment, sequence)| Finding::EventAdded { payment, sequence }));
    }
    findings
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn chain(payment: PaymentId, length: i32) -> Vec<Event> {
        let mut previous = Hash::NONE;
        (1..=length)
            .map(|sequence| {
                let at = Timestamp::UNIX_EPOCH;
                let event = Event::after(previous, payment, sequence, "payment.created", "{}".to_owned(), at);
                previous = event.hash;
                event
            })
            .collect()
    }

    fn entries(events: &[Event]) -> Vec<Entry> {
        let entry =
            |event: &Event| Entry { payment: event.payment, sequence: event.sequence, hash: event.hash };
        events.iter().map(entry).collect()
    }

    #[test]
    fn an_edited_or_missing_event_is_found_in_its_payments_chain() {
        let payment = PaymentId::new();
        let whole = chain(payment, 3);
        let head = whole[2].hash;
        let check = |events: &[Event]| check_payment(payment, 3, head, events);
        assert_eq!(check(&whole), []);
        let removed = |sequence| Finding::EventRemoved { payment, sequence };
        assert_eq!(check(&whole[..2]), [removed(3)]);
        assert_eq!(check(&whole[1..]), [removed(1)]);
        assert_eq!(check(&[]), [removed(1), removed(2), removed(3)]);
        let mut edited = whole.clone();
        edited[1].data = "{\"amount\":1}".to_owned();
        assert_eq!(check(&edited), [Finding::EventEdited { payment, sequence: 2 }]);
        let edited_payment = [Finding::PaymentEdited { payment }];
        assert_eq!(check_payment(payment, 2, whole[1].hash, &whole), edited_payment);
        assert_eq!(check_payment(payment, 3, whole[1].hash, &whole), edited_payment);
    }

    #[test]
    fn what_no_chain_shows_is_found_by_a_seal() {
        let (kept, removed) = (PaymentId::new(), PaymentId::new());
        let events = [chain(kept, 2), chain(removed, 1)].concat();
        let seal = Seal::after(Mark::NONE, 3, &entries(&events));
        assert_eq!(check_seal(Mark::NONE, &seal, &entries(&events)), []);
        let finding = Finding::EventRemoved { payment: removed, sequence: 1 };
        assert_eq!(check_seal(Mark::NONE, &seal, &entries(&events[..2])), [finding]);
        // An event that was edited, with a new hash in it and in all events after it.
        let mut forged = entries(&events);
        forged[1].hash = Hash([7; 32]);
        assert_eq!(
            check_seal(Mark::NONE, &seal, &forged),
            [Finding::EventEdited { payment: kept, sequence: 2 }]
        );
        let added = PaymentId::new();
        let more = [events, chain(added, 1)].concat();
        assert_eq!(
            check_seal(Mark::NONE, &seal, &entries(&more)),
            [Finding::EventAdded { payment: added, sequence: 1 }]
        );
    }

    #[test]
    fn a_seal_that_was_edited_or_removed_is_found_by_the_next_one() {
        let events = entries(&chain(PaymentId::new(), 3));
        let first = Seal::after(Mark::NONE, 1, &events[..1]);
        let second = Seal::after(first.mark, 2, &events[1..2]);
        let third = Seal::after(second.mark, 3, &events[2..]);
        assert_eq!(check_seal(second.mark, &third, &events[2..]), []);
        assert_eq!(check_seal(first.mark, &third, &events[1..]), [Finding::SealRemoved { number: 2 }]);
        let edited = Seal { mark: Mark { through: 4, ..second.mark }, ..second.clone() };
        assert_eq!(check_seal(first.mark, &edited, &events[1..2]), [Finding::SealEdited { number: 2 }]);
        let forged = Seal::after(first.mark, 2, &events[..1]);
        assert!(check_seal(forged.mark, &third, &events[2..]).contains(&Finding::SealEdited { number: 3 }));
    }
}
