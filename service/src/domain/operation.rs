//! One request to the payment provider. Its id is the provider's idempotency key: however often it is sent, it is
//! carried out once.

use super::{IdempotencyKey, OperationId, PaymentId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// Reserve the amount, to be captured later.
    Authorize,
    /// Reserve and capture at once.
    Charge,
    Capture,
    /// Give up what was reserved.
    Void,
    Refund,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum OperationState {
    /// Stored. It may or may not have reached the provider.
    Pending,
    /// The provider was asked and has not answered in time. Only the provider knows.
    Unknown,
    Succeeded,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    pub id: OperationId,
    pub payment: PaymentId,
    pub kind: Kind,
    /// In minor units of the payment's currency. For a void, what is given up.
    pub amount: i64,
    pub state: OperationState,
    /// The key of the client's request. The response is stored with it.
    pub key: IdempotencyKey,
}

/// What the provider said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Done. With the provider's own name for it.
    Approved { reference: String },
    /// Refused for good, with the provider's reason as a code such as `insufficient_funds`.
    Declined { code: String },
    /// Nothing, in time.
    Unknown,
}

impl Answer {
    pub fn state(&self) -> OperationState {
        match self {
            Self::Approved { .. } => OperationState::Succeeded,
            Self::Declined { .. } => OperationState::Failed,
            Self::Unknown => OperationState::Unknown,
        }
    }

    /// The provider's reason, if it refused.
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Declined { code } => Some(code),
            Self::Approved { .. } | Self::Unknown => None,
        }
    }
}
