//! Why a payment refuses a move.

use jiff::Timestamp;

use super::Status;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("a payment that is {} cannot be {action}", status.words())]
    State { status: Status, action: &'static str },
    #[error("the authorization has expired at {at}")]
    Expired { at: Timestamp },
    #[error("the amount must be between 1 and {available}, what is left of this payment")]
    Amount { available: i64 },
}
