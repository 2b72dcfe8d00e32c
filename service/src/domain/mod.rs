//! What a payment is and which moves it may make. Nothing here does I/O: the caller passes the time and stores what it gets.
//! New ids are made here, of the time and random bits.

mod card_number;
mod event;
mod fields;
mod id;
mod idempotency;
mod money;
mod operation;
mod payment;
#[cfg(test)]
mod properties;
mod refusal;
mod scope;
mod seal;

pub use self::card_number::contains_card_number;
pub use self::event::{Event, Hash};
pub use self::fields::{Customer, Description, FieldError, Metadata};
pub use self::id::{AccountId, ApiKeyId, OperationId, PaymentId};
pub use self::idempotency::{Fingerprint, IdempotencyKey, KeyError};
pub use self::money::{AmountError, Currency, Money};
pub use self::operation::{Answer, Kind, Operation, OperationState};
pub use self::payment::{
    Action, CaptureMethod, Change, NewPayment, Payment, PaymentMethod, Settlement, Status,
};
pub use self::refusal::Refusal;
pub use self::scope::Scope;
pub use self::seal::{Entry, Finding, Mark, Seal, check_payment, check_seal};
