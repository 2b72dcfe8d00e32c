//! What is read to verify events, and written to seal them and to erase a customer's data.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::rows::{self, hash};
use super::{Store, StoreError, StoredResponse};
use crate::domain::{AccountId, Change, Entry, Event, Hash, Mark, Payment, PaymentId, Seal};
use crate::platform::database::Parameters;

/// A payment with what its events have to lead to.
pub struct Audited {
    pub id: PaymentId,
    pub version: i32,
    pub head: Hash,
    pub events: Vec<Event>,
}

impl Store {
    pub async fn last_seal(&self) -> Result<Mark, StoreError> {
        let rows = self.query(include_str!("sql/last_seal.sql"), &[]).await?;
        rows.first().map_or(Ok(Mark::NONE), mark)
    }

    /// The seal with the next number that exists.
    pub async fn seal_after(&self, number: i64) -> Result<Option<Seal>, StoreError> {
        let rows = self.query(include_str!("sql/next_seal.sql"), &[(&number, Type::INT8)]).await?;
        rows.first().map(|row| Ok(Seal { mark: mark(row)?, entries: row.try_get(3)? })).transpose()
    }

    /// At most `limit` events after a position that are older than `age` seconds, and the position of the last of them.
    pub async fn unsealed(
        &self,
        after: i64,
        limit: i64,
        age: i32,
    ) -> Result<Option<(i64, Vec<Entry>)>, StoreError> {
        let parameters: Parameters<'_> = &[(&after, Type::INT8), (&limit, Type::INT8), (&age, Type::INT4)];
        let rows = self.query(include_str!("sql/unsealed_events.sql"), parameters).await?;
        let Some(last) = rows.last() else { return Ok(None) };
        let entries: Result<Vec<Entry>, _> = rows.iter().map(|row| entry(row, 1)).collect();
        Ok(Some((last.try_get(0)?, entries?)))
    }

    /// False if there is a seal with this number.
    pub async fn add_seal(&self, seal: &Seal) -> Result<bool, StoreError> {
        self.decide(
            include_str!("sql/add_seal.sql"),
            &[
                (&seal.mark.number, Type::INT8),
                (&seal.mark.through, Type::INT8),
                (&seal.entries, Type::BYTEA),
                (&&seal.mark.hash.0[..], Type::BYTEA),
            ],
        )
        .await
    }

    /// The events at positions after `after` and up to `through`.
    pub async fn entries(&self, after: i64, through: i64) -> Result<Vec<Entry>, StoreError> {
        let parameters: Parameters<'_> = &[(&after, Type::INT8), (&through, Type::INT8)];
        let rows = self.query(include_str!("sql/sealed_events.sql"), parameters).await?;
        rows.iter().map(|row| entry(row, 0)).collect()
    }

    /// At most `limit` payments after the one with the id `after`, with their events.
    pub async fn audited(&self, after: Option<PaymentId>, limit: i64) -> Result<Vec<Audited>, StoreError> {
        let parameters: Parameters<'_> = &[(&after.map(|id| id.0), Type::UUID), (&limit, Type::INT8)];
        let rows = self.query(include_str!("sql/check_payments.sql"), parameters).await?;
        let mut payments: Vec<Audited> = Vec::new();
        for row in &rows {
            let id = PaymentId(row.try_get(0)?);
            if payments.last().is_none_or(|payment| payment.id != id) {
                let (version, head) = (row.try_get(1)?, hash(row.try_get(2)?)?);
                payments.push(Audited { id, version, head, events: Vec::new() });
            }
            if let (Some(payment), Some(sequence)) = (payments.last_mut(), row.try_get(3)?) {
                let (kind, data) = (row.try_get(4)?, row.try_get(5)?);
                let (at, hash) = (row.try_get(6)?, hash(row.try_get(7)?)?);
                payment.events.push(Event { payment: id, sequence, kind, data, at, hash });
            }
        }
        Ok(payments)
    }

    /// The accounts that have payments of a customer, with their names; only the one named `account`, if it is given.
    pub async fn accounts_of(
        &self,
        customer: &str,
        account: Option<&str>,
    ) -> Result<Vec<(AccountId, String)>, StoreError> {
        let parameters: Parameters<'_> = &[(&customer, Type::TEXT), (&account, Type::TEXT)];
        let rows = self.query(include_str!("sql/accounts_of_customer.sql"), parameters).await?;
        rows.iter().map(|row| Ok((AccountId(row.try_get(0)?), row.try_get(1)?))).collect()
    }

    /// At most `limit` payments of a customer.
    pub async fn payments_of(
        &self,
        account: AccountId,
        customer: &str,
        limit: i64,
    ) -> Result<Vec<Payment>, StoreError> {
        let parameters: Parameters<'_> =
            &[(&account.0, Type::UUID), (&customer, Type::TEXT), (&limit, Type::INT8)];
        let rows = self.query(include_str!("sql/payments_of_customer.sql"), parameters).await?;
        rows.iter().map(rows::payment).collect()
    }

    /// Stores a payment without personal data, and `response` for its keys, or `unanswered` if their operation has no answer
    /// yet. False if it has moved on since `version`.
    pub async fn erase(
        &self,
        version: i32,
        change: &Change,
        response: &StoredResponse,
        unanswered: &str,
    ) -> Result<bool, StoreError> {
        let (payment, event) = (&change.payment, &change.event);
        self.decide(
            include_str!("sql/erase_payment.sql"),
            &[
                (&payment.id.0, Type::UUID),
                (&version, Type::INT4),
                (&payment.version, Type::INT4),
                (&&payment.head.0[..], Type::BYTEA),
                (&payment.updated_at, Type::TIMESTAMPTZ),
                (&event.kind, Type::TEXT),
                (&event.data, Type::TEXT),
                (&i16::try_from(response.status).unwrap_or(500), Type::INT2),
                (&response.body, Type::TEXT),
                (&unanswered, Type::TEXT),
            ],
        )
        .await
    }
}

fn mark(row: &Row) -> Result<Mark, StoreError> {
    Ok(Mark { number: row.try_get(0)?, through: row.try_get(1)?, hash: hash(row.try_get(2)?)? })
}

fn entry(row: &Row, at: usize) -> Result<Entry, StoreError> {
    let hash = hash(row.try_get(at + 2)?)?;
    Ok(Entry { payment: PaymentId(row.try_get(at)?), sequence: row.try_get(at + 1)?, hash })
}
