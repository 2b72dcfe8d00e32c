//! What clients get: the JSON of a payment and of a refund, and what a settled operation is answered with. An answer is
//! stored with its key, so that its repetition is the same.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::{Answer, Customer, Description, Kind, Operation, OperationState, Payment, PaymentId};
use crate::store::{StoredOperation, StoredResponse};

#[derive(Serialize)]
pub struct PaymentBody<'a> {
    id: PaymentId,
    object: &'static str,
    status: &'static str,
    /// In minor units, as are the next three.
    amount: i64,
    amount_captured: i64,
    amount_refunded: i64,
    /// What refunds under way ask for.
    amount_refunding: i64,
    currency: &'static str,
    capture: &'static str,
    payment_method: &'a str,
    customer: Option<&'a str>,
    description: Option<&'a str>,
    metadata: &'a BTreeMap<String, String>,
    region: &'a str,
    /// The provider's reason, if it declined the payment.
    failure: Option<&'a str>,
    /// Until when an authorized payment can be captured.
    authorized_until: Option<Timestamp>,
    version: i32,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl<'a> From<&'a Payment> for PaymentBody<'a> {
    fn from(payment: &'a Payment) -> Self {
        Self {
            id: payment.id,
            object: "payment",
            status: payment.status.as_str(),
            amount: payment.amount.minor(),
            amount_captured: payment.captured,
            amount_refunded: payment.refunded,
            amount_refunding: payment.refunding,
            currency: payment.amount.currency().code(),
            capture: payment.capture_method.into(),
            payment_method: payment.method.as_str(),
            customer: payment.customer.as_ref().map(Customer::as_str),
            description: payment.description.as_ref().map(Description::as_str),
            metadata: payment.metadata.entries(),
            region: &payment.region,
            failure: payment.failure.as_deref(),
            authorized_until: payment.authorized_until,
            version: payment.version,
            created_at: payment.created_at,
            updated_at: payment.updated_at,
        }
    }
}

#[derive(Serialize)]
pub struct RefundBody<'a> {
    id: String,
    object: &'static str,
    payment: PaymentId,
    status: &'static str,
    amount: i64,
    currency: &'static str,
    failure: Option<&'a str>,
    created_at: Timestamp,
}

impl<'a> RefundBody<'a> {
    pub fn of(refund: &'a StoredOperation, payment: &Payment) -> Self {
        let state = refund.operation.state;
        Self::new(&refund.operation, state, payment, refund.failure.as_deref())
    }

    fn new(
        operation: &Operation,
        state: OperationState,
        payment: &Payment,
        failure: Option<&'a str>,
    ) -> Self {
        Self {
            id: format!("re_{}", operation.id.0.simple()),
            object: "refund",
            payment: payment.id,
            status: state.into(),
            amount: operation.amount,
            currency: payment.amount.currency().code(),
            failure,
            created_at: operation.id.created_at(),
        }
    }
}

/// The body of a declined operation: problem details (RFC 9457), to which the request's id is added when it is sent.
#[derive(Serialize)]
struct Declined<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    decline_code: &'a str,
    payment: PaymentId,
}

/// The answer to the request that began `operation`. `payment` is as it is after it.
pub fn settled(payment: &Payment, operation: &Operation, answer: &Answer) -> StoredResponse {
    let is_created = matches!(operation.kind, Kind::Authorize | Kind::Charge | Kind::Refund);
    let status = match answer {
        Answer::Approved { .. } if is_created => 201,
        Answer::Approved { .. } => 200,
        // The client asks for the payment, or waits for its webhook.
        Answer::Unknown => 202,
        Answer::Declined { code } => return declined(payment, operation, code),
    };
    let body = match operation.kind {
        Kind::Refund => to_json(&RefundBody::new(operation, answer.state(), payment, None)),
        _ => to_json(&PaymentBody::from(payment)),
    };
    StoredResponse { status, body }
}

fn declined(payment: &Payment, operation: &Operation, decline_code: &str) -> StoredResponse {
    let what = match operation.kind {
        Kind::Authorize | Kind::Charge => "payment",
        Kind::Capture => "capture",
        Kind::Void => "void",
        Kind::Refund => "refund",
    };
    let body = Declined {
        r#type: "urn:payment-api:problem:declined",
        title: "Declined by the payment provider",
        status: 402,
        detail: format!("the provider declined the {what}: {decline_code}"),
        code: "declined",
        decline_code,
        payment: payment.id,
    };
    StoredResponse { status: 402, body: to_json(&body) }
}

/// The answer to a repeated request whose first answer held a customer's data that were erased since.
pub fn erased() -> StoredResponse {
    #[derive(Serialize)]
    struct Erased {
        r#type: &'static str,
        title: &'static str,
        status: u16,
        detail: &'static str,
        code: &'static str,
    }
    let body = Erased {
        r#type: "urn:payment-api:problem:erased",
        title: "The answer was erased",
        status: 410,
        detail: "the request was carried out; its answer was erased with the customer's data",
        code: "erased",
    };
    StoredResponse { status: 410, body: to_json(&body) }
}

pub fn to_json(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("texts, numbers and maps with texts as keys can be written as JSON")
}
