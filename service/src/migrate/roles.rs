//! The two roles: `migrator`, which owns the schema, and `app`, which may only work in it.

use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::settings::Settings;
use super::sql::{execute, identifier, literal};
use super::{MigrateError, Purpose, login, scram};
use crate::database::Credentials;

/// A proxy hands out its own sessions, so what a session must have is given to the role.
const APP_SETTINGS: &[(&str, &str)] =
    &[("statement_timeout", "5s"), ("lock_timeout", "2s"), ("idle_in_transaction_session_timeout", "10s")];
/// A migration that waits for a lock makes everybody wait behind it: give up soon, try again.
const MIGRATOR_SETTINGS: &[(&str, &str)] = &[
    ("statement_timeout", "15min"),
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "1min"),
];

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

/// Makes the role, or gives it what it lacks: the right to log in, settings. Says what it changed.
pub async fn make(master: &mut PgConnection, role: &Role) -> Result<(), MigrateError> {
    let found = sqlx::query("SELECT rolcanlogin, coalesce(rolconfig, '{}') FROM pg_roles WHERE rolname = $1")
        .bind(&role.login.username)
        .fetch_optional(&mut *master)
        .await
        .to("look for a role")?;
    let name = role.name();
    let username = role.login.username.as_str();
    let configured: Vec<String> = match found {
        None => {
            let verifier = scram::verifier(username, &role.login.password)?;
            let statement = format!("CREATE ROLE {name} LOGIN PASSWORD {}", literal(&verifier));
            execute(master, statement).await.to("create a role")?;
            tracing::info!(role = username, "role created");
            Vec::new()
        }
        Some(row) => {
            if !row.try_get::<bool, _>(0).to("read a role")? {
                execute(master, format!("ALTER ROLE {name} LOGIN")).await.to("let a role log in")?;
                tracing::info!(role = username, "role may log in again");
            }
            row.try_get(1).to("read a role")?
        }
    };
    for (setting, value) in role.settings {
        if !configured.contains(&format!("{setting}={value}")) {
            let statement = format!("ALTER ROLE {name} SET {setting} = {}", literal(value));
            execute(master, statement).await.to("configure a role")?;
            tracing::info!(role = username, setting, value, "role configured");
        }
    }
    Ok(())
}

/// Puts the secret's password in force where another one is. Needs the role to have the right to connect.
pub async fn keep_password(
    master: &mut PgConnection,
    settings: &Settings,
    role: &Role,
) -> Result<(), MigrateError> {
    // tried, not set each time: another verifier of the same password would make proxies log in anew
    if login::works(settings, &role.login).await? {
        return Ok(());
    }
    let username = role.login.username.as_str();
    let verifier = scram::verifier(username, &role.login.password)?;
    let statement = format!("ALTER ROLE {} PASSWORD {}", role.name(), literal(&verifier));
    execute(master, statement).await.to("change a role's password")?;
    tracing::info!(role = username, "password changed");
    Ok(())
}
