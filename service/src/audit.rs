//! Seals what happened, verifies it, and erases what is personal in it.
//!
//! `payment-api verify-events` reads everything, in small statements, beside the running service:
//! 1. each payment's events against each other and against the payment,
//! 2. each seal against the one before, and the events of its span against it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::str::FromStr;

use jiff::Timestamp;

use crate::domain::{Finding, Mark, PaymentId, Seal, check_payment, check_seal};
use crate::flow::response::{self, PaymentBody};
use crate::store::{Store, StoreError};

/// Events per seal. A seal with as many has half a megabyte.
const SEAL_EVENTS: i64 = 10_000;
/// In seconds: how old an event is before it is sealed. See `unsealed_events.sql`.
const SEAL_AGE: i32 = 60;
/// Payments per statement.
const BATCH: i64 = 200;

/// A seal as it was logged: `NUMBER:HASH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    number: i64,
    hash: String,
}

impl FromStr for Anchor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected NUMBER:HASH of a seal, as the service logs it";
        let (number, hash) = text.split_once(':').ok_or(expected)?;
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = number.parse().ok().filter(|number| *number > 0 && is_hash).ok_or(expected)?;
        Ok(Self { number, hash: hash.to_ascii_lowercase() })
    }
}

/// Adds one seal, if there is something to seal.
pub async fn seal(store: &Store) -> Result<Option<Mark>, StoreError> {
    let last = store.last_seal().await?;
    let Some((through, entries)) = store.unsealed(last.through, SEAL_EVENTS, SEAL_AGE).await? else {
        return Ok(None);
    };
    let seal = Seal::after(last, through, &entries);
    Ok(store.add_seal(&seal).await?.then_some(seal.mark))
}

/// What has been verified, and what does not fit.
pub struct Report {
    payments: u64,
    events: usize,
    last: Mark,
    findings: BTreeSet<Finding>,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// One line per finding, and one with what was read.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            writeln!(text, "{finding}").expect("writing to a String cannot fail");
        }
        let Self { payments, events, last, findings } = self;
        let seals = match last.number {
            0 => "no seal".to_owned(),
            number => format!("last seal {number}:{}", last.hash),
        };
        writeln!(text, "{payments} payments, {events} events, {} findings, {seals}", findings.len())
            .expect("writing to a String cannot fail");
        text
    }
}

pub async fn verify(store: &Store, anchors: &[Anchor]) -> Result<Report, StoreError> {
    let mut report = Report { payments: 0, events: 0, last: Mark::NONE, findings: BTreeSet::new() };
    let present = verify_payments(store, &mut report).await?;
    verify_seals(store, anchors, &present, &mut report).await?;
    Ok(report)
}

/// Gives the ids of all payments that there are.
async fn verify_payments(store: &Store, report: &mut Report) -> Result<BTreeSet<PaymentId>, StoreError> {
    let mut present = BTreeSet::new();
    let mut after = None;
    loop {
        let batch = store.audited(after, BATCH).await?;
        let Some(last) = batch.last() else { return Ok(present) };
        after = Some(last.id);
        for payment in &batch {
            report.payments += 1;
            report.events += payment.events.len();
            report.findings.extend(check_payment(payment.id, payment.version, payment.head, &payment.events));
            present.insert(payment.id);
        }
    }
}

async fn verify_seals(
    store: &Store,
    anchors: &[Anchor],
    present: &BTreeSet<PaymentId>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut anchors: BTreeMap<i64, &str> =
        anchors.iter().map(|anchor| (anchor.number, anchor.hash.as_str())).collect();
    while let Some(seal) = store.seal_after(report.last.number).await? {
        let mark = seal.mark;
        let events = store.entries(report.last.through, mark.through).await?;
        for finding in check_seal(report.last, &seal, &events) {
            report.findings.insert(match finding {
                Finding::EventRemoved { payment, .. } if !present.contains(&payment) => {
                    Finding::PaymentRemoved { payment }
                }
                other => other,
            });
        }
        if anchors.remove(&mark.number).is_some_and(|hash| hash != mark.hash.to_string()) {
            report.findings.insert(Finding::Anchor { number: mark.number });
        }
        report.last = mark;
    }
    report.findings.extend(anchors.into_keys().map(|number| Finding::SealRemoved { number }));
    Ok(())
}

#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    #[error("no payment names this customer")]
    Unknown,
    #[error("several accounts have a customer of this name: {0}; fix: say which, with --account")]
    Ambiguous(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Blanks what a customer's payments hold about a person. Gives how many payments there were.
pub async fn erase(store: &Store, customer: &str, account: Option<&str>) -> Result<u64, EraseError> {
    let accounts = store.accounts_of(customer, account).await?;
    let account = match &accounts[..] {
        [] => return Err(EraseError::Unknown),
        [(account, _)] => *account,
        several => {
            let names: Vec<&str> = several.iter().map(|(_, name)| name.as_str()).collect();
            return Err(EraseError::Ambiguous(names.join(", ")));
        }
    };
    let mut count = 0;
    loop {
        let payments = store.payments_of(account, customer, BATCH).await?;
        if payments.is_empty() {
            return Ok(count);
        }
        for payment in payments {
            let change = payment.erase(Timestamp::now());
            // A payment that has changed meanwhile is found again.
            let unanswered = response::to_json(&PaymentBody::from(&change.payment));
            if store.erase(payment.version, &change, &response::erased(), &unanswered).await? {
                count += 1;
            }
        }
    }
}
