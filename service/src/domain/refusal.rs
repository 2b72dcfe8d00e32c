//! Why a payment refuses a move.

use jiff::Timestamp;

use super::Status;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("a payment that is {} cannot be {action}", status.words())]
    State { status: Status, action: &'static str },
    #[error("the authorization has expired at {at}")]
    Expired { at: Timestamp },
    #[error("{}", amount(*available))]
    Amount { available: i64 },
}

fn amount(available: i64) -> String {
    match available {
        0 => "nothing is left of this payment, beside what refunds under way ask for".to_owned(),
        _ => format!("the amount must be between 1 and {available}, what is left of this payment"),
    }
}
