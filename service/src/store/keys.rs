//! Accounts and their API keys.

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::{Store, StoreError};
use crate::domain::{AccountId, ApiKeyId, Scope};
use crate::platform::database::{DatabaseError, Parameters};

/// How many may be valid at a time.
const KEYS_PER_ACCOUNT: usize = 2;

/// A valid key, as a request is checked against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub key: ApiKeyId,
    pub account: AccountId,
    pub scopes: Vec<Scope>,
}

/// A key to store. The digest is the SHA-256 of its text.
pub struct NewKey<'a> {
    pub id: ApiKeyId,
    pub account_name: &'a str,
    pub digest: [u8; 32],
    pub scopes: &'a [Scope],
}

/// A key as an operator sees it.
#[derive(Debug, Clone)]
pub struct KeyRow {
    pub account: AccountId,
    pub account_name: String,
    pub id: ApiKeyId,
    pub scopes: Vec<String>,
    pub created_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}

impl Store {
    /// Stores a key; its account is created if there is none with this name. False if the account has two valid ones.
    pub async fn create_key(&self, key: &NewKey<'_>) -> Result<bool, StoreError> {
        let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        let account = AccountId::new();
        let parameters: Parameters<'_> = &[
            (&account.0, Type::UUID),
            (&key.account_name, Type::TEXT),
            (&key.id.0, Type::UUID),
            (&&key.digest[..], Type::BYTEA),
            (&scopes, Type::TEXT_ARRAY),
        ];
        // Of two that are created at the same time, the second one finds the slot taken that was free when it began.
        for _ in 0..KEYS_PER_ACCOUNT {
            if self.decide(include_str!("sql/create_key.sql"), parameters).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes a key invalid. False if there is no such key.
    pub async fn revoke_key(&self, id: ApiKeyId) -> Result<bool, StoreError> {
        let rows = self.query(include_str!("sql/revoke_key.sql"), &[(&id.0, Type::UUID)]).await?;
        Ok(!rows.is_empty())
    }

    /// All keys, by account, also revoked ones.
    pub async fn keys(&self) -> Result<Vec<KeyRow>, StoreError> {
        let rows = self.query(include_str!("sql/list_keys.sql"), &[]).await?;
        rows.iter().map(key_row).collect()
    }

    /// Numbers that differ after every change of the keys.
    pub async fn keys_version(&self) -> Result<(i64, i64), StoreError> {
        let none: Parameters<'_> = &[];
        let rows = self.query(include_str!("sql/count_keys.sql"), none).await?;
        let row = rows.first().ok_or(DatabaseError::Rows)?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    /// The valid keys with their digests.
    pub async fn credentials(&self) -> Result<Vec<([u8; 32], Credential)>, StoreError> {
        let rows = self.query(include_str!("sql/load_keys.sql"), &[]).await?;
        rows.iter().map(credential).collect()
    }
}

fn key_row(row: &Row) -> Result<KeyRow, StoreError> {
    Ok(KeyRow {
        account: AccountId(row.try_get(0)?),
        account_name: row.try_get(1)?,
        id: ApiKeyId(row.try_get(2)?),
        scopes: row.try_get(3)?,
        created_at: row.try_get(4)?,
        revoked_at: row.try_get(5)?,
    })
}

fn credential(row: &Row) -> Result<([u8; 32], Credential), StoreError> {
    let digest = row.try_get::<_, &[u8]>(2)?.try_into().map_err(|_| StoreError::Content("a key's digest"))?;
    let scopes: Vec<&str> = row.try_get(3)?;
    // A newer release may have scopes that this one has no routes for.
    let scopes = scopes.iter().filter_map(|scope| scope.parse().ok()).collect();
    Ok((digest, Credential { key: ApiKeyId(row.try_get(0)?), account: AccountId(row.try_get(1)?), scopes }))
}
