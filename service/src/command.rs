//! What an operator does from a pod of the service: `payment-api keys`, `verify-events`, `erase`. It has the environment of
//! `serve`.

use std::fmt::Write;
use std::process::ExitCode;

use secrecy::ExposeSecret;
use strum::VariantArray;
use tokio::task::JoinSet;

use crate::audit::{self, EraseError};
use crate::cli::{Keys, Operate};
use crate::domain::{ApiKeyId, Scope};
use crate::platform::database::Database;
use crate::platform::environment::{Environment, Problems};
use crate::store::{KeyRow, NewKey, Store, StoreError};
use crate::{accounts, settings};

#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("an account's name has 1 to 100 characters, without control characters")]
    Name,
    #[error(
        "the account `{0}` has two valid keys; fix: revoke the one that is no longer used (`payment-api keys list`)"
    )]
    TwoKeys(String),
    #[error("there is no key `{0}`")]
    NoSuchKey(ApiKeyId),
    #[error(transparent)]
    Erase(#[from] EraseError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Exits with 0; with 1 and an error in the log; or with 4 if verification finds something. What was asked for is on
/// standard output.
pub async fn run(environment: &Environment, command: Operate) -> ExitCode {
    let mut problems = Problems::new();
    let limits = settings::read_limits(environment, &mut problems);
    let source = settings::read_source(environment, &settings::secrets(environment), &mut problems);
    let (Some(source), true) = (source, problems.is_empty()) else {
        for problem in problems {
            tracing::error!("{problem}");
        }
        return ExitCode::FAILURE;
    };
    // Its background tasks end with the set.
    let mut tasks = JoinSet::new();
    let store = Store::new(Database::open(source, limits, "SELECT 1", &mut tasks));
    match execute(&store, command).await {
        Ok((text, code)) => {
            print!("{text}");
            code
        }
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn execute(store: &Store, command: Operate) -> Result<(String, ExitCode), CommandError> {
    let text = match command {
        Operate::Keys(Keys::Create { account, scopes }) => create(store, account, scopes).await?,
        Operate::Keys(Keys::List) => table(&store.keys().await?),
        Operate::Keys(Keys::Revoke { id }) if store.revoke_key(id).await? => format!("{id} is revoked\n"),
        Operate::Keys(Keys::Revoke { id }) => return Err(CommandError::NoSuchKey(id)),
        Operate::Erase { customer, account } => {
            let count = audit::erase(store, &customer, account.as_deref()).await?;
            tracing::info!(count, "payments of a customer erased");
            format!("{count} payments erased\n")
        }
        Operate::VerifyEvents { anchors } => {
            let report = audit::verify(store, &anchors).await?;
            let code = if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(4) };
            return Ok((report.text(), code));
        }
    };
    Ok((text, ExitCode::SUCCESS))
}

async fn create(store: &Store, account: String, scopes: Vec<Scope>) -> Result<String, CommandError> {
    if account.trim().is_empty() || account.chars().count() > 100 || account.contains(char::is_control) {
        return Err(CommandError::Name);
    }
    let scopes = if scopes.is_empty() { Scope::VARIANTS.to_vec() } else { scopes };
    let (id, key) = (ApiKeyId::new(), accounts::new_key());
    let new = NewKey { id, account_name: &account, digest: accounts::digest(&key), scopes: &scopes };
    if !store.create_key(&new).await? {
        return Err(CommandError::TwoKeys(account));
    }
    tracing::info!(account, key = %id, "API key created");
    Ok(format!("{id} {}\n", key.expose_secret()))
}

fn table(keys: &[KeyRow]) -> String {
    let mut text = String::new();
    for key in keys {
        let state = key.revoked_at.map_or_else(|| "valid".to_owned(), |at| format!("revoked {at:.0}"));
        let scopes = key.scopes.join(",");
        writeln!(
            text,
            "{} {} {} {scopes} {:.0} {state}",
            key.account, key.account_name, key.id, key.created_at
        )
        .expect("writing to a String cannot fail");
    }
    text
}
