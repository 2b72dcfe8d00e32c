//! A region's database as RDS would create it, with its own roles and secrets.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::certificates::AUTHORITY;
use super::eventually;
use super::http::{self, Pending};
use super::postgres::{Postgres, Session};
use super::process::{self, Ended, Service};

pub const API_KEY: &str = "canary-api-key-5f0d2c";
/// Every character that breaks URLs, SQL or shells.
pub const APP_PASSWORD: &str = "canary-app #?[]@:/%&='\"\\$(x)`;";
pub const MIGRATOR_PASSWORD: &str = "canary-migrator-77aa10";
pub const MASTER_PASSWORD: &str = "canary-master-3be9f4";
pub const CANARIES: [&str; 4] = [API_KEY, "canary-app", MIGRATOR_PASSWORD, MASTER_PASSWORD];

pub struct World {
    pub server: &'static Postgres,
    pub database: String,
    pub app: String,
    pub migrator: String,
    pub master: String,
    folder: TempDir,
}

impl World {
    /// A database with its roles and schema.
    pub fn new() -> Self {
        Self::of_region("eu-south-2")
    }

    /// The database of another region.
    pub fn of_region(region: &str) -> Self {
        let world = Self::empty();
        let migrated = world.migrate_with(&[("REGION", region)]);
        assert_eq!(migrated.code, Some(0), "{:#?}", migrated.log);
        world
    }

    /// The state after Terraform: a database, a master user that is not a superuser, secrets.
    pub fn empty() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let world = Self {
            server: Postgres::shared(),
            database: format!("payments_{number}"),
            // These names must be quoted in SQL.
            app: format!("app-{number}"),
            migrator: format!("migrator-{number}"),
            master: format!("dbadmin-{number}"),
            folder: tempfile::tempdir().unwrap(),
        };
        let (database, master) = (&world.database, &world.master);
        world.server.sql(
            "postgres",
            &format!("CREATE ROLE \"{master}\" LOGIN CREATEROLE CREATEDB PASSWORD '{MASTER_PASSWORD}'"),
        );
        world.server.sql("postgres", &format!("CREATE DATABASE {database} OWNER \"{master}\""));
        std::fs::create_dir(world.secrets()).unwrap();
        std::fs::create_dir(world.migrate_secrets()).unwrap();
        world.put("API_SECRET_KEY", API_KEY);
        world.put("DB_USERNAME", &world.app);
        world.put("DB_PASSWORD", APP_PASSWORD);
        world.put_for_migrate("master", &world.master, MASTER_PASSWORD);
        world.put_for_migrate("migrator", &world.migrator, MIGRATOR_PASSWORD);
        world.put_for_migrate("app", &world.app, APP_PASSWORD);
        world
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn secrets(&self) -> PathBuf {
        self.path().join("secrets")
    }

    pub fn migrate_secrets(&self) -> PathBuf {
        self.path().join("migrate-secrets")
    }

    /// Replaces a secret of the service atomically, as a Secret volume does.
    pub fn put(&self, name: &str, value: &str) {
        replace(&self.secrets().join(name), value);
    }

    pub fn put_for_migrate(&self, role: &str, username: &str, password: &str) {
        replace(&self.migrate_secrets().join(format!("{role}-username")), username);
        replace(&self.migrate_secrets().join(format!("{role}-password")), password);
    }

    /// The environment of `serve` with `changes` applied. An empty value removes a variable.
    pub fn environment(&self, changes: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut variables = vec![
            ("BIND_ADDRESS".to_owned(), "127.0.0.1".to_owned()),
            ("PORT".to_owned(), "0".to_owned()),
            ("METRICS_PORT".to_owned(), "0".to_owned()),
            ("REGION".to_owned(), "eu-south-2".to_owned()),
            ("ENVIRONMENT".to_owned(), "production".to_owned()),
            ("DRAIN_SECONDS".to_owned(), "0".to_owned()),
            ("DATABASE_HOST".to_owned(), "localhost".to_owned()),
            // Generous, because machines that run tests are busy.
            ("DATABASE_CONNECT_SECONDS".to_owned(), "60".to_owned()),
            ("DATABASE_WAIT_SECONDS".to_owned(), "60".to_owned()),
            ("READINESS_GRACE_SECONDS".to_owned(), "0".to_owned()),
            ("DATABASE_ANSWER_SECONDS".to_owned(), "60".to_owned()),
            ("DATABASE_TOTAL_SECONDS".to_owned(), "60".to_owned()),
            ("REQUEST_TIMEOUT_SECONDS".to_owned(), "60".to_owned()),
            ("SECRETS_DIR".to_owned(), self.secrets().display().to_string()),
        ];
        variables.extend(self.database_environment());
        change(variables, changes)
    }

    /// The legacy variable DATABASE_URL for this database, with `query` behind it.
    pub fn url(&self, query: &str) -> String {
        self.url_of(&self.app, APP_PASSWORD, query)
    }

    pub fn url_of(&self, user: &str, password: &str, query: &str) -> String {
        let encoded: Vec<String> = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let encoded = encoded.concat();
        format!("postgres://{user}:{encoded}@localhost:{}/{}{query}", self.server.port, self.database)
    }

    pub fn start(&self) -> Service {
        self.start_with(&[])
    }

    pub fn start_with(&self, changes: &[(&str, &str)]) -> Service {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Each one its own: several may run at the same time.
        Service::start(&self.environment(changes), self.path().join(format!("service-{number}.log")))
    }

    pub fn migrate(&self) -> Ended {
        self.migrate_with(&[])
    }

    pub fn migrate_with(&self, changes: &[(&str, &str)]) -> Ended {
        process::run("migrate", &self.migrate_environment(changes))
    }

    pub fn migrate_environment(&self, changes: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut variables = vec![
            ("DATABASE_DIRECT_HOST".to_owned(), "localhost".to_owned()),
            ("REGION".to_owned(), "eu-south-2".to_owned()),
            ("MIGRATE_SECRETS_DIR".to_owned(), self.migrate_secrets().display().to_string()),
        ];
        variables.extend(self.database_environment());
        change(variables, changes)
    }

    /// Runs a command of an operator.
    pub fn command(&self, command: &str, arguments: &[&str]) -> Output {
        process::command(command, &self.environment(&[])).args(arguments).output().unwrap()
    }

    pub fn keys(&self, arguments: &[&str]) -> Output {
        self.command("keys", arguments)
    }

    /// A new API key of `account`, with everything that is allowed.
    pub fn new_key(&self, account: &str) -> String {
        let output = self.keys(&["create", account]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let line = String::from_utf8(output.stdout).unwrap();
        line.trim_end().split_once(' ').unwrap().1.to_owned()
    }

    /// Runs `sql` in this database as the superuser.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.database, sql)
    }

    /// Runs `sql` as the application's role.
    pub fn as_app(&self, sql: &str) -> Result<String, String> {
        self.server.sql_as(&self.app, APP_PASSWORD, &self.database, sql)
    }

    /// Terminates every connection of the application to the database.
    pub fn disconnect(&self) {
        self.sql(&format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{}'",
            self.app
        ));
    }

    /// Sends a payment that blocks in the database until the returned session is dropped.
    pub fn blocked_payment(&self, service: &Service) -> (Pending, Session) {
        let session = self.block_payments(service);
        let payment =
            http::send(service.port, "GET", "/api/payment/simulate", &[("X-API-Key", API_KEY)]).unwrap();
        self.wait_for_blocked_payment();
        (payment, session)
    }

    /// Payments block in the database until the returned session is dropped.
    pub fn block_payments(&self, service: &Service) -> Session {
        service.wait_until_warm();
        for setting in ["lock_timeout", "statement_timeout"] {
            self.sql(&format!("ALTER ROLE \"{}\" SET {setting} = '5min'", self.app));
        }
        self.disconnect();
        let mut session = self.server.session(&self.database);
        session.run("BEGIN; LOCK TABLE payments.simulated_payments IN EXCLUSIVE MODE");
        session
    }

    pub fn wait_for_blocked_payment(&self) {
        let waiting = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND wait_event_type = 'Lock'",
            self.app
        );
        eventually("the payment waits", || (self.sql(&waiting) == "1").then_some(()));
    }

    /// Rejects all connections to the database, or allows them again.
    pub fn allow_connections(&self, allow: bool) {
        let database = &self.database;
        self.server.sql("postgres", &format!("ALTER DATABASE {database} ALLOW_CONNECTIONS {allow}"));
        if !allow {
            self.server.sql(
                "postgres",
                &format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
                ),
            );
        }
    }

    fn database_environment(&self) -> [(String, String); 3] {
        [
            ("DATABASE_PORT".to_owned(), self.server.port.to_string()),
            ("DATABASE_NAME".to_owned(), self.database.clone()),
            ("DATABASE_CA_FILE".to_owned(), self.server.folder.join(AUTHORITY).display().to_string()),
        ]
    }
}

fn replace(path: &Path, value: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, value).unwrap();
    std::fs::rename(next, path).unwrap();
}

fn change(mut variables: Vec<(String, String)>, changes: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.retain(|(name, _)| changes.iter().all(|(changed, _)| name != changed));
    variables.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    variables
}
