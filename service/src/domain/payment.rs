//! A payment and its moves.
//!
//! ```text
//! created ──► authorized ──► capturing ──► captured ──► partially_refunded ──► refunded
//!    │            │  ▲           │
//!    │            │  └───────────┤ refused by the provider
//!    │            ├──► voiding ──┴► voided
//!    │            └──► expired
//!    └──► failed
//! created, capturing, voiding ──► unknown ──► what the provider says later
//! ```
//!
//! A move that needs the provider has two steps. `begin` says what is about to be asked, and is stored first. `settle`
//! applies the answer. Between the two, the payment is in a state that admits no other move, except that several refunds
//! may be under way: what they ask for is set aside in `refunding`.
//!
//! Invariants, whatever the order of moves:
//! - 0 ≤ refunded + refunding ≤ captured ≤ amount.
//! - The transfers of a payment add up to captured − refunded.
//! - The version is the sequence number of the last event, and `head` its hash.

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    AccountId, Answer, ApiKeyId, Customer, Description, Event, Hash, IdempotencyKey, Kind, Metadata, Money,
    Operation, OperationId, OperationState, PaymentId, Refusal,
};

/// How long an authorization can be captured. Card networks guarantee it for about a week.
const AUTHORIZATION: SignedDuration = SignedDuration::from_hours(7 * 24);

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, strum::EnumString, strum::IntoStaticStr, strum::VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum Status {
    /// Stored; the provider is being asked.
    Created,
    Authorized,
    Capturing,
    Voiding,
    Captured,
    PartiallyRefunded,
    Refunded,
    /// Declined by the provider.
    Failed,
    Voided,
    Expired,
    /// The provider has not answered in time. It is asked again until it does.
    Unknown,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The status in a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Created => "being authorized",
            Self::Capturing => "being captured",
            Self::Voiding => "being voided",
            Self::PartiallyRefunded => "partially refunded",
            Self::Unknown => "without an answer of the provider so far",
            other => other.as_str(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum CaptureMethod {
    Automatic,
    Manual,
}

/// The provider's token for a card or an account. Never a card number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentMethod(String);

impl PaymentMethod {
    /// `None` unless `text` is `pm_` and 1 to 60 letters, digits, and underscores.
    pub fn new(text: String) -> Option<Self> {
        let is_token = text.strip_prefix("pm_").is_some_and(|name| {
            (1..=60).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        });
        // A token with a card number in it is none that a provider has made.
        let digits = text.replace('_', "");
        (is_token && !super::contains_card_number(&digits)).then_some(Self(text))
    }

    /// Of a stored payment.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPayment {
    pub account: AccountId,
    pub region: String,
    pub amount: Money,
    pub capture_method: CaptureMethod,
    pub method: PaymentMethod,
    pub customer: Option<Customer>,
    pub description: Option<Description>,
    pub metadata: Metadata,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    pub id: PaymentId,
    pub account: AccountId,
    pub region: String,
    pub status: Status,
    pub amount: Money,
    /// In minor units, as are the next two.
    pub captured: i64,
    pub refunded: i64,
    /// What the refunds under way ask for.
    pub refunding: i64,
    pub capture_method: CaptureMethod,
    pub method: PaymentMethod,
    pub customer: Option<Customer>,
    pub description: Option<Description>,
    pub metadata: Metadata,
    /// The provider's reason, if it declined the payment.
    pub failure: Option<String>,
    /// Until when it can be captured, once it is authorized.
    pub authorized_until: Option<Timestamp>,
    /// The provider's name for the authorization or charge.
    pub reference: Option<String>,
    pub version: i32,
    /// The hash of the last event.
    pub head: Hash,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A move of an existing payment that needs the provider. Without an amount: all of what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Capture(Option<i64>),
    Void,
    Refund(Option<i64>),
}

/// A payment after a move, and what is stored with it. All of it, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub payment: Payment,
    pub event: Event,
    pub transfer: Option<Transfer>,
}

/// What an answer of the provider means for a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    Change(Box<Change>),
    /// It is known already, or still unknown.
    NoNews,
    /// It is not possible after what is stored. Only people can find out which of the two is right.
    Contradiction,
}

/// Money that changes its owner: `amount` from the first account of the ledger to the second. Both sides are one row, so
/// the ledger adds up to zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    pub operation: OperationId,
    pub debit: String,
    pub credit: String,
    pub amount: i64,
}

/// What an event says. No personal data.
#[derive(Serialize)]
struct Data<'a> {
    status: &'a str,
    amount: i64,
    currency: &'a str,
    captured: i64,
    refunded: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<OperationId>,
    /// What this operation is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_amount: Option<i64>,
    /// The API key of the request, for who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<ApiKeyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
}

impl Payment {
    /// Begins a new payment: what is stored before the provider is asked.
    pub fn create(new: NewPayment, by: ApiKeyId, key: IdempotencyKey, now: Timestamp) -> (Change, Operation) {
        let now = stored(now);
        let payment = Self {
            id: PaymentId::new(),
            account: new.account,
            region: new.region,
            status: Status::Created,
            amount: new.amount,
            captured: 0,
            refunded: 0,
            refunding: 0,
            capture_method: new.capture_method,
            method: new.method,
            customer: new.customer,
            description: new.description,
            metadata: new.metadata,
            failure: None,
            authorized_until: None,
            reference: None,
            version: 0,
            head: Hash::NONE,
            created_at: now,
            updated_at: now,
        };
        let kind = match payment.capture_method {
            CaptureMethod::Automatic => Kind::Charge,
            CaptureMethod::Manual => Kind::Authorize,
        };
        let operation = payment.operation(kind, payment.amount.minor(), key);
        (payment.moved("payment.created", Some(&operation), Some(by), None, now), operation)
    }

    /// Begins a move.
    pub fn begin(
        &self,
        action: Action,
        by: ApiKeyId,
        key: IdempotencyKey,
        now: Timestamp,
    ) -> Result<(Change, Operation), Refusal> {
        let mut next = self.clone();
        let (kind, amount, event) = match action {
            Action::Capture(amount) => {
                self.check_authorized("captured", now)?;
                next.status = Status::Capturing;
                (Kind::Capture, within(amount, self.amount.minor())?, "capture.requested")
            }
            Action::Void => {
                self.check_authorized("voided", now)?;
                next.status = Status::Voiding;
                (Kind::Void, self.amount.minor(), "void.requested")
            }
            Action::Refund(amount) => {
                if !matches!(self.status, Status::Captured | Status::PartiallyRefunded) {
                    return Err(Refusal::State { status: self.status, action: "refunded" });
                }
                let amount = within(amount, self.captured - self.refunded - self.refunding)?;
                next.refunding += amount;
                (Kind::Refund, amount, "refund.requested")
            }
        };
        let operation = self.operation(kind, amount, key);
        Ok((next.moved(event, Some(&operation), Some(by), None, now), operation))
    }

    /// Applies the provider's answer to `operation`, which has to be as it was when the payment had this version.
    pub fn settle(&self, operation: &Operation, answer: &Answer, now: Timestamp) -> Settlement {
        let is_awaited = match operation.kind {
            Kind::Authorize | Kind::Charge => matches!(self.status, Status::Created | Status::Unknown),
            Kind::Capture => matches!(self.status, Status::Capturing | Status::Unknown),
            Kind::Void => matches!(self.status, Status::Voiding | Status::Unknown),
            Kind::Refund => self.refunding >= operation.amount,
        };
        match operation.state {
            OperationState::Unknown if *answer == Answer::Unknown => return Settlement::NoNews,
            OperationState::Pending | OperationState::Unknown if is_awaited => {}
            OperationState::Succeeded | OperationState::Failed
                if *answer == Answer::Unknown || operation.state == answer.state() =>
            {
                return Settlement::NoNews;
            }
            _ => return Settlement::Contradiction,
        }
        let mut next = self.clone();
        let (event, transfer) = match answer {
            Answer::Approved { reference } => next.approved(operation, reference),
            Answer::Declined { code } => (next.declined(operation, code), None),
            // The payment itself is certain.
            Answer::Unknown if operation.kind == Kind::Refund => ("refund.unknown", None),
            Answer::Unknown => {
                next.status = Status::Unknown;
                ("payment.unknown", None)
            }
        };
        let mut change = next.moved(event, Some(operation), None, answer.failure(), now);
        change.transfer = transfer;
        Settlement::Change(Box::new(change))
    }

    /// Ends an authorization that can no longer be captured. `None` if there is none.
    pub fn expire(&self, now: Timestamp) -> Option<Change> {
        let is_over =
            self.status == Status::Authorized && self.authorized_until.is_some_and(|until| until <= now);
        is_over.then(|| {
            let next = Self { status: Status::Expired, ..self.clone() };
            next.moved("payment.expired", None, None, None, now)
        })
    }

    /// Forgets what may be personal. Its events hold nothing of that kind.
    pub fn erase(&self, now: Timestamp) -> Change {
        let next = Self { customer: None, description: None, metadata: Metadata::default(), ..self.clone() };
        next.moved("payment.erased", None, None, None, now)
    }

    fn approved(&mut self, operation: &Operation, reference: &str) -> (&'static str, Option<Transfer>) {
        match operation.kind {
            Kind::Authorize => {
                self.status = Status::Authorized;
                self.reference = Some(reference.to_owned());
                // From the question on: the provider may have answered it days before the answer arrived here.
                self.authorized_until = Some(self.created_at + AUTHORIZATION);
                ("payment.authorized", None)
            }
            Kind::Charge | Kind::Capture => {
                self.status = Status::Captured;
                self.captured = operation.amount;
                if operation.kind == Kind::Charge {
                    self.reference = Some(reference.to_owned());
                }
                ("payment.captured", Some(self.transfer(operation, clearing(), self.merchant())))
            }
            Kind::Void => {
                self.status = Status::Voided;
                ("payment.voided", None)
            }
            Kind::Refund => {
                self.refunding -= operation.amount;
                self.refunded += operation.amount;
                self.status = match self.refunded.cmp(&self.captured) {
                    Ordering::Less => Status::PartiallyRefunded,
                    _ => Status::Refunded,
                };
                ("refund.succeeded", Some(self.transfer(operation, self.merchant(), clearing())))
            }
        }
    }

    fn declined(&mut self, operation: &Operation, code: &str) -> &'static str {
        match operation.kind {
            Kind::Authorize | Kind::Charge => {
                self.status = Status::Failed;
                self.failure = Some(code.to_owned());
                "payment.failed"
            }
            Kind::Capture => {
                self.status = Status::Authorized;
                "capture.failed"
            }
            Kind::Void => {
                self.status = Status::Authorized;
                "void.failed"
            }
            Kind::Refund => {
                self.refunding -= operation.amount;
                "refund.failed"
            }
        }
    }

    fn check_authorized(&self, action: &'static str, now: Timestamp) -> Result<(), Refusal> {
        match (self.status, self.authorized_until) {
            (Status::Authorized, Some(at)) if at <= now => Err(Refusal::Expired { at }),
            (Status::Authorized, _) => Ok(()),
            (status, _) => Err(Refusal::State { status, action }),
        }
    }

    /// The next version of `self`, with the event that leads to it.
    fn moved(
        mut self,
        kind: &str,
        operation: Option<&Operation>,
        key: Option<ApiKeyId>,
        failure: Option<&str>,
        now: Timestamp,
    ) -> Change {
        let now = stored(now);
        let data = Data {
            status: self.status.as_str(),
            amount: self.amount.minor(),
            currency: self.amount.currency().code(),
            captured: self.captured,
            refunded: self.refunded,
            operation: operation.map(|operation| operation.id),
            operation_amount: operation.map(|operation| operation.amount),
            key,
            failure,
        };
        let data = serde_json::to_string(&data).expect("numbers and texts can be written as JSON");
        self.version += 1;
        self.updated_at = now;
        let event = Event::after(self.head, self.id, self.version, kind, data, now);
        self.head = event.hash;
        Change { payment: self, event, transfer: None }
    }

    fn operation(&self, kind: Kind, amount: i64, key: IdempotencyKey) -> Operation {
        Operation {
            id: OperationId::new(),
            payment: self.id,
            kind,
            amount,
            state: OperationState::Pending,
            key,
        }
    }

    fn transfer(&self, operation: &Operation, debit: String, credit: String) -> Transfer {
        Transfer { operation: operation.id, debit, credit, amount: operation.amount }
    }

    /// The account of the ledger for what the merchant is owed.
    fn merchant(&self) -> String {
        format!("merchant:{}", self.account)
    }
}

/// The account of the ledger for what the provider owes.
fn clearing() -> String {
    "clearing".to_owned()
}

/// The amount that is asked for, if it is available.
fn within(amount: Option<i64>, available: i64) -> Result<i64, Refusal> {
    let amount = amount.unwrap_or(available);
    if (1..=available).contains(&amount) { Ok(amount) } else { Err(Refusal::Amount { available }) }
}

/// `now` as the database keeps it, in microseconds. The hash of an event covers its time.
fn stored(now: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
