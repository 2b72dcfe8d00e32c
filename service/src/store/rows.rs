//! Rows as domain objects. What any release of this service wrote can be read: rules for what clients may send are not
//! applied again, because they change, and a payment that was made must stay payable back. Only words and currencies that
//! this release does not know are errors, which name them.

use std::collections::BTreeMap;
use std::str::FromStr;

use tokio_postgres::Row;

use super::{Earlier, StoreError, StoredOperation, StoredResponse};
use crate::domain::{
    AccountId, CaptureMethod, Currency, Customer, Description, Event, Fingerprint, Hash, IdempotencyKey,
    Kind, Metadata, Money, Operation, OperationId, OperationState, Payment, PaymentId, PaymentMethod, Status,
};

/// How many columns [`payment`] reads, from the first one on.
pub const PAYMENT_COLUMNS: usize = 21;

/// The payment of a row that starts with its columns, or `None` if the row has none.
pub fn payment_or_none(row: &Row) -> Result<Option<Payment>, StoreError> {
    match row.try_get::<_, Option<uuid::Uuid>>(0)? {
        Some(_) => payment(row).map(Some),
        None => Ok(None),
    }
}

/// The payment of a row that starts with its columns.
pub fn payment(row: &Row) -> Result<Payment, StoreError> {
    let currency: &str = row.try_get(8)?;
    let currency = Currency::stored(currency).ok_or(StoreError::Content("a currency"))?;
    Ok(Payment {
        id: PaymentId(row.try_get(0)?),
        account: AccountId(row.try_get(1)?),
        region: row.try_get(2)?,
        status: word::<Status>(row, 3)?,
        amount: Money::stored(row.try_get(4)?, currency),
        captured: row.try_get(5)?,
        refunded: row.try_get(6)?,
        refunding: row.try_get(7)?,
        capture_method: word::<CaptureMethod>(row, 9)?,
        method: PaymentMethod::stored(row.try_get(10)?),
        customer: row.try_get::<_, Option<String>>(11)?.map(Customer::stored),
        description: row.try_get::<_, Option<String>>(12)?.map(Description::stored),
        metadata: metadata(row.try_get(13)?)?,
        failure: row.try_get(14)?,
        authorized_until: row.try_get(15)?,
        reference: row.try_get(16)?,
        version: row.try_get(17)?,
        head: hash(row.try_get(18)?)?,
        created_at: row.try_get(19)?,
        updated_at: row.try_get(20)?,
    })
}

pub fn event(row: &Row) -> Result<Event, StoreError> {
    Ok(Event {
        payment: PaymentId(row.try_get(0)?),
        sequence: row.try_get(1)?,
        kind: row.try_get(2)?,
        data: row.try_get(3)?,
        at: row.try_get(4)?,
        hash: hash(row.try_get(5)?)?,
    })
}

/// The operation of a row, from the column `at` on.
pub fn operation(row: &Row, at: usize) -> Result<StoredOperation, StoreError> {
    let operation = Operation {
        id: OperationId(row.try_get(at)?),
        payment: PaymentId(row.try_get(at + 1)?),
        kind: word::<Kind>(row, at + 2)?,
        amount: row.try_get(at + 3)?,
        state: word::<OperationState>(row, at + 4)?,
        key: IdempotencyKey::stored(row.try_get(at + 5)?),
    };
    Ok(StoredOperation { operation, failure: row.try_get(at + 6)? })
}

/// What a key has begun, from the column `at` on. `None` if there is no such key.
pub fn earlier(row: &Row, at: usize) -> Result<Option<Earlier>, StoreError> {
    let Some(fingerprint) = row.try_get::<_, Option<&[u8]>>(at)? else { return Ok(None) };
    let fingerprint = fingerprint.try_into().map_err(|_| StoreError::Content("a fingerprint"))?;
    let response = match (row.try_get::<_, Option<i16>>(at + 2)?, row.try_get(at + 3)?) {
        (Some(status), Some(body)) => {
            let status = u16::try_from(status).map_err(|_| StoreError::Content("a status code"))?;
            Some(StoredResponse { status, body })
        }
        _ => None,
    };
    let operation = OperationId(row.try_get(at + 1)?);
    Ok(Some(Earlier { fingerprint: Fingerprint(fingerprint), operation, response }))
}

fn word<T: FromStr>(row: &Row, column: usize) -> Result<T, StoreError> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|_| StoreError::Content("a state, kind or method"))
}

pub fn hash(bytes: &[u8]) -> Result<Hash, StoreError> {
    bytes.try_into().map(Hash).map_err(|_| StoreError::Content("a hash"))
}

fn metadata(text: &str) -> Result<Metadata, StoreError> {
    let entries: BTreeMap<String, String> =
        serde_json::from_str(text).map_err(|_| StoreError::Content("metadata"))?;
    Ok(Metadata::stored(entries))
}
