//! The payment provider: whoever moves the money. Asked with an operation's id as the idempotency key, so that asking twice
//! has the effect of asking once.

mod simulated;

use std::pin::Pin;

use crate::domain::{Answer, Kind, Money, OperationId, PaymentMethod};

pub use self::simulated::Simulated;

/// What the provider is asked to do.
#[derive(Debug, Clone)]
pub struct Request {
    /// The idempotency key.
    pub operation: OperationId,
    pub kind: Kind,
    pub amount: Money,
    pub method: PaymentMethod,
    /// The provider's name for the authorization or charge that this is about; `None` for a new one.
    pub reference: Option<String>,
}

/// The connection to the provider broke: it may or may not have received the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the provider's answer was lost")]
pub struct NoAnswer;

/// What a look-up finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Answer(Answer),
    /// The provider has never received this operation.
    Nothing,
}

pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, NoAnswer>> + Send + 'a>>;

/// None of these has a time limit: the caller sets one.
pub trait Provider: Send + Sync {
    fn submit<'a>(&'a self, request: &'a Request) -> Reply<'a, Answer>;

    /// What has become of an operation.
    fn look_up<'a>(&'a self, request: &'a Request) -> Reply<'a, Found>;
}
