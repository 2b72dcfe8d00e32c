//! The two roles: `migrator`, which owns the schema, and `app`, which reads and writes its data.

use super::settings::Settings;
use super::sql::{execute, identifier, literal};
use super::{MigrateError, Purpose, login, scram};
use crate::platform::database::{Connection, Credentials};

/// Set on the role, because behind a proxy the application has no session of its own to configure.
const APP_SETTINGS: &[(&str, &str)] = &[
    ("statement_timeout", "5s"),
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "10s"),
    CONNECTION_CHECK,
];
/// Queries queue up behind a migration that waits for a lock, so it gives up after 2 s and retries.
const MIGRATOR_SETTINGS: &[(&str, &str)] = &[
    ("statement_timeout", "15min"),
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "1min"),
    CONNECTION_CHECK,
];
/// Without this, PostgreSQL notices only at the end of a statement that its client is gone. A migration would keep its
/// locks until then, and a payment that was cut off could still be stored.
const CONNECTION_CHECK: (&str, &str) = ("client_connection_check_interval", "1s");

pub struct Role {
    pub login: Credentials,
    settings: &'static [(&'static str, &'static str)],
}

impl Role {
    pub fn migrator(login: Credentials) -> Self {
        Self { login, settings: MIGRATOR_SETTINGS }
    }

    pub fn app(login: Credentials) -> Self {
        Self { login, settings: APP_SETTINGS }
    }

    /// The role's name, quoted.
    pub fn name(&self) -> String {
        identifier(&self.login.username)
    }
}

/// Creates the role, or updates its right to log in and its settings. Logs each change.
pub async fn ensure(master: &Connection, role: &Role) -> Result<(), MigrateError> {
    let found = master
        .query_opt(
            "SELECT rolcanlogin, coalesce(rolconfig, '{}') FROM pg_roles WHERE rolname = $1",
            &[&role.login.username],
        )
        .await
        .to("look up a role")?;
    let name = role.name();
    let username = role.login.username.as_str();
    let configured: Vec<String> = match found {
        None => {
            let verifier = scram::verifier(username, &role.login.password)?;
            let statement = format!("CREATE ROLE {name} LOGIN PASSWORD {}", literal(&verifier));
            execute(master, &statement).await.to("create a role")?;
            tracing::info!(role = username, "role created");
            Vec::new()
        }
        Some(row) => {
            if !row.try_get::<_, bool>(0).to("read a role")? {
                execute(master, &format!("ALTER ROLE {name} LOGIN")).await.to("allow a role to log in")?;
                tracing::info!(role = username, "role is allowed to log in again");
            }
            row.try_get(1).to("read a role")?
        }
    };
    for (setting, value) in role.settings {
        if !configured.contains(&format!("{setting}={value}")) {
            let statement = format!("ALTER ROLE {name} SET {setting} = {}", literal(value));
            execute(master, &statement).await.to("configure a role")?;
            tracing::info!(role = username, setting, value, "role configured");
        }
    }
    Ok(())
}

/// Sets the role's password to that of the secret, if it differs. The role must be allowed to connect.
pub async fn ensure_password(
    master: &Connection,
    settings: &Settings,
    role: &Role,
) -> Result<(), MigrateError> {
    // Set only if it differs: a new verifier, even of the same password, makes proxies log in again.
    if login::is_accepted(settings, &role.login).await? {
        return Ok(());
    }
    let username = role.login.username.as_str();
    let verifier = scram::verifier(username, &role.login.password)?;
    let statement = format!("ALTER ROLE {} PASSWORD {}", role.name(), literal(&verifier));
    execute(master, &statement).await.to("change a role's password")?;
    tracing::info!(role = username, "password changed");
    Ok(())
}
