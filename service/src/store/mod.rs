//! How payments are kept in PostgreSQL. Each function is one statement and one transaction; the statements are in `sql/`.
//!
//! The database layer repeats a statement whose connection broke, so each must be safe to run twice. Those that write are
//! guarded: by the client's key, or by the version of the payment. A repetition of one that has taken effect therefore
//! finds its own work and says "no", and the caller looks what is stored.

mod audit;
mod keys;
mod rows;

use std::sync::Arc;

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

pub use self::keys::{Credential, KeyRow, NewKey};
use self::rows::{event, operation, payment, payment_or_none};
use crate::domain::{
    AccountId, Answer, Change, Customer, Description, Event, Fingerprint, IdempotencyKey, Operation,
    OperationId, Payment, PaymentId, Status,
};
use crate::platform::database::{Database, DatabaseError, Lane, Parameters};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("the database holds what this release cannot read: {0}")]
    Content(&'static str),
}

impl StoreError {
    /// Whether the database is missing, overloaded or read-only, so that a repetition may succeed. Anything else is a
    /// mistake of this service.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_outage())
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// A client's request that may be repeated.
#[derive(Debug, Clone)]
pub struct Request {
    pub account: AccountId,
    pub key: IdempotencyKey,
    pub fingerprint: Fingerprint,
}

/// What an earlier request with the same key has begun.
#[derive(Debug, Clone)]
pub struct Earlier {
    pub fingerprint: Fingerprint,
    pub operation: OperationId,
    /// Missing while the request is under way.
    pub response: Option<StoredResponse>,
}

/// The answer to a request, for its repetitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    pub status: u16,
    pub body: String,
}

/// What is known before a move: the payment, if it is the account's, and what the key has begun.
pub struct BeforeMove {
    pub payment: Option<Payment>,
    pub earlier: Option<Earlier>,
}

/// Which payments to list. Newest first.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those that are older than this one.
    pub after: Option<PaymentId>,
    pub customer: Option<String>,
    pub status: Option<Status>,
    pub created_from: Option<Timestamp>,
    pub created_before: Option<Timestamp>,
}

/// An operation as it is stored, with what its domain object does not need.
#[derive(Debug, Clone)]
pub struct StoredOperation {
    pub operation: Operation,
    /// The provider's reason, if it declined the operation.
    pub failure: Option<String>,
}

pub struct Store {
    database: Arc<Database>,
    lane: Lane,
}

impl Store {
    /// For requests.
    pub fn new(database: Arc<Database>) -> Self {
        Self { database, lane: Lane::Requests }
    }

    /// For what goes on beside requests, with connections of its own.
    pub fn background(database: Arc<Database>) -> Self {
        Self { database, lane: Lane::Background }
    }

    async fn query(&self, statement: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, DatabaseError> {
        self.database.query_in(self.lane, statement, parameters).await
    }

    /// Stores a new payment before the provider is asked. False if the key is in use, or the database is that of another
    /// region: [`Store::earlier`] says which.
    ///
    /// `check_after` is the number of seconds after which the operation is looked up if it has no answer by then.
    pub async fn create(
        &self,
        request: &Request,
        change: &Change,
        operation: &Operation,
        check_after: i32,
    ) -> Result<bool, StoreError> {
        let (payment, event) = (&change.payment, &change.event);
        let metadata = serde_json::to_string(payment.metadata.entries()).unwrap_or_default();
        self.decide(
            include_str!("sql/create_payment.sql"),
            &[
                (&request.account.0, Type::UUID),
                (&request.key.as_str(), Type::TEXT),
                (&&request.fingerprint.0[..], Type::BYTEA),
                (&operation.id.0, Type::UUID),
                (&payment.created_at, Type::TIMESTAMPTZ),
                (&payment.region, Type::TEXT),
                (&payment.id.0, Type::UUID),
                (&payment.status.as_str(), Type::TEXT),
                (&payment.amount.minor(), Type::INT8),
                (&payment.amount.currency().code(), Type::TEXT),
                (&<&str>::from(payment.capture_method), Type::TEXT),
                (&payment.method.as_str(), Type::TEXT),
                (&payment.customer.as_ref().map(Customer::as_str), Type::TEXT),
                (&payment.description.as_ref().map(Description::as_str), Type::TEXT),
                (&metadata, Type::TEXT),
                (&payment.version, Type::INT4),
                (&&payment.head.0[..], Type::BYTEA),
                (&event.kind, Type::TEXT),
                (&event.data, Type::TEXT),
                (&<&str>::from(operation.kind), Type::TEXT),
                (&check_after, Type::INT4),
            ],
        )
        .await
    }

    /// Stores a move before the provider is asked. False if the payment has moved on since `version`, or the key is in use.
    pub async fn begin(
        &self,
        request: &Request,
        version: i32,
        change: &Change,
        operation: &Operation,
        check_after: i32,
    ) -> Result<bool, StoreError> {
        let (payment, event) = (&change.payment, &change.event);
        self.decide(
            include_str!("sql/begin_operation.sql"),
            &[
                (&payment.id.0, Type::UUID),
                (&version, Type::INT4),
                (&request.account.0, Type::UUID),
                (&request.key.as_str(), Type::TEXT),
                (&&request.fingerprint.0[..], Type::BYTEA),
                (&operation.id.0, Type::UUID),
                (&payment.updated_at, Type::TIMESTAMPTZ),
                (&payment.status.as_str(), Type::TEXT),
                (&payment.refunding, Type::INT8),
                (&payment.version, Type::INT4),
                (&&payment.head.0[..], Type::BYTEA),
                (&event.kind, Type::TEXT),
                (&event.data, Type::TEXT),
                (&<&str>::from(operation.kind), Type::TEXT),
                (&operation.amount, Type::INT8),
                (&check_after, Type::INT4),
            ],
        )
        .await
    }

    /// Stores the provider's answer. False if the payment has moved on since `version`.
    pub async fn settle(
        &self,
        version: i32,
        change: &Change,
        operation: &Operation,
        answer: &Answer,
        response: &StoredResponse,
        check_after: i32,
    ) -> Result<bool, StoreError> {
        let (payment, event, transfer) = (&change.payment, &change.event, change.transfer.as_ref());
        self.decide(
            include_str!("sql/settle_operation.sql"),
            &[
                (&payment.id.0, Type::UUID),
                (&version, Type::INT4),
                (&payment.status.as_str(), Type::TEXT),
                (&payment.captured, Type::INT8),
                (&payment.refunded, Type::INT8),
                (&payment.refunding, Type::INT8),
                (&payment.failure, Type::TEXT),
                (&payment.authorized_until, Type::TIMESTAMPTZ),
                (&payment.reference, Type::TEXT),
                (&payment.version, Type::INT4),
                (&&payment.head.0[..], Type::BYTEA),
                (&payment.updated_at, Type::TIMESTAMPTZ),
                (&event.kind, Type::TEXT),
                (&event.data, Type::TEXT),
                (&operation.id.0, Type::UUID),
                (&<&str>::from(answer.state()), Type::TEXT),
                (&answer.failure(), Type::TEXT),
                (&check_after, Type::INT4),
                (&transfer.map(|transfer| transfer.debit.as_str()), Type::TEXT),
                (&transfer.map(|transfer| transfer.credit.as_str()), Type::TEXT),
                (&transfer.map(|transfer| transfer.amount), Type::INT8),
                (&operation.key.as_str(), Type::TEXT),
                (&i16::try_from(response.status).unwrap_or(500), Type::INT2),
                (&response.body, Type::TEXT),
            ],
        )
        .await
    }

    /// Stores the end of an authorization. False if the payment has moved on since `version`.
    pub async fn expire(&self, version: i32, change: &Change) -> Result<bool, StoreError> {
        let (payment, event) = (&change.payment, &change.event);
        self.decide(
            include_str!("sql/expire_payment.sql"),
            &[
                (&payment.id.0, Type::UUID),
                (&version, Type::INT4),
                (&payment.status.as_str(), Type::TEXT),
                (&payment.version, Type::INT4),
                (&&payment.head.0[..], Type::BYTEA),
                (&payment.updated_at, Type::TIMESTAMPTZ),
                (&event.kind, Type::TEXT),
                (&event.data, Type::TEXT),
            ],
        )
        .await
    }

    /// The region of the database (`None`: it has none yet), and what an earlier request with this key has begun.
    pub async fn earlier(
        &self,
        account: AccountId,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<(Option<String>, Option<Earlier>), StoreError> {
        let parameters: Parameters<'_> =
            &[(&account.0, Type::UUID), (&key.as_str(), Type::TEXT), (&now, Type::TIMESTAMPTZ)];
        let rows = self.query(include_str!("sql/load_key.sql"), parameters).await?;
        let Some(row) = rows.first() else { return Ok((None, None)) };
        Ok((Some(row.try_get(0)?), rows::earlier(row, 1)?))
    }

    /// The region whose payments the database may hold; `None` if it is not decided yet.
    pub async fn region(&self) -> Result<Option<String>, StoreError> {
        let rows = self.query("SELECT region FROM payments.residency", &[]).await?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
    }

    pub async fn before_move(
        &self,
        request: &Request,
        payment: PaymentId,
        now: Timestamp,
    ) -> Result<BeforeMove, StoreError> {
        let parameters: Parameters<'_> = &[
            (&payment.0, Type::UUID),
            (&request.account.0, Type::UUID),
            (&request.key.as_str(), Type::TEXT),
            (&now, Type::TIMESTAMPTZ),
        ];
        let rows = self.query(include_str!("sql/load_for_move.sql"), parameters).await?;
        let row = rows.first().ok_or(DatabaseError::Rows)?;
        Ok(BeforeMove { payment: payment_or_none(row)?, earlier: rows::earlier(row, rows::PAYMENT_COLUMNS)? })
    }

    /// A payment, of whichever account.
    pub async fn payment(&self, id: PaymentId) -> Result<Option<Payment>, StoreError> {
        let rows = self.query(include_str!("sql/load_payment.sql"), &[(&id.0, Type::UUID)]).await?;
        rows.first().map(payment).transpose()
    }

    /// At most `limit` payments of an account, newest first.
    pub async fn payments(
        &self,
        account: AccountId,
        filter: &Filter,
        limit: i64,
    ) -> Result<Vec<Payment>, StoreError> {
        let parameters: Parameters<'_> = &[
            (&account.0, Type::UUID),
            (&filter.after.map(|id| id.0), Type::UUID),
            (&filter.customer, Type::TEXT),
            (&filter.status.map(Status::as_str), Type::TEXT),
            (&filter.created_from.map(first_id), Type::UUID),
            (&filter.created_before.map(first_id), Type::UUID),
            (&limit, Type::INT8),
        ];
        let rows = self.query(include_str!("sql/list_payments.sql"), parameters).await?;
        rows.iter().map(payment).collect()
    }

    /// At most `limit` events of a payment after the one with the number `after`.
    pub async fn events(&self, id: PaymentId, after: i32, limit: i64) -> Result<Vec<Event>, StoreError> {
        let parameters: Parameters<'_> = &[(&id.0, Type::UUID), (&after, Type::INT4), (&limit, Type::INT8)];
        let rows = self.query(include_str!("sql/load_events.sql"), parameters).await?;
        rows.iter().map(event).collect()
    }

    /// An operation and its payment, as they were at one moment.
    pub async fn before_settle(&self, id: OperationId) -> Result<Option<(Payment, Operation)>, StoreError> {
        let rows = self.query(include_str!("sql/load_for_settle.sql"), &[(&id.0, Type::UUID)]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some((payment(row)?, operation(row, rows::PAYMENT_COLUMNS)?.operation)))
    }

    /// At most `limit` refunds of a payment, oldest first, after the one with the id `after`.
    pub async fn refunds(
        &self,
        id: PaymentId,
        after: Option<OperationId>,
        limit: i64,
    ) -> Result<Vec<StoredOperation>, StoreError> {
        let parameters: Parameters<'_> =
            &[(&id.0, Type::UUID), (&after.map(|id| id.0), Type::UUID), (&limit, Type::INT8)];
        let rows = self.query(include_str!("sql/load_refunds.sql"), parameters).await?;
        rows.iter().map(|row| operation(row, 0)).collect()
    }

    /// Takes at most `limit` operations that should have an answer by now.
    pub async fn claim_unanswered(&self, limit: i64) -> Result<Vec<OperationId>, StoreError> {
        let rows = self.query(include_str!("sql/claim_unanswered.sql"), &[(&limit, Type::INT8)]).await?;
        rows.iter().map(|row| Ok(OperationId(row.try_get(0)?))).collect()
    }

    /// At most `limit` payments whose authorization has expired. One that this release cannot read is left out, and does
    /// not keep the others.
    pub async fn expired(&self, limit: i64) -> Result<Vec<Payment>, StoreError> {
        let rows = self.query(include_str!("sql/load_expired.sql"), &[(&limit, Type::INT8)]).await?;
        let readable = rows.iter().filter_map(|row| {
            payment(row).inspect_err(|error| tracing::error!("failed to read a payment: {error}")).ok()
        });
        Ok(readable.collect())
    }

    /// Deletes at most `limit` keys that are older than a day. Gives how many there were.
    pub async fn purge_keys(&self, limit: i64) -> Result<u64, StoreError> {
        let rows = self.query(include_str!("sql/purge_keys.sql"), &[(&limit, Type::INT8)]).await?;
        let count: i64 = rows.first().ok_or(DatabaseError::Rows)?.try_get(0)?;
        Ok(count.unsigned_abs())
    }

    /// Runs a statement that says whether it has taken effect.
    async fn decide(&self, statement: &str, parameters: Parameters<'_>) -> Result<bool, StoreError> {
        let rows: Vec<Row> = self.query(statement, parameters).await?;
        Ok(rows.first().ok_or(DatabaseError::Rows)?.try_get(0)?)
    }
}

/// The smallest id that can have been made at `time`.
fn first_id(time: Timestamp) -> Uuid {
    let milliseconds = u64::try_from(time.as_millisecond()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &[0; 10]).into_uuid()
}
