//! The configuration of `serve`.

use std::net::IpAddr;
use std::time::Duration;

use secrecy::SecretString;

use crate::api_keys::{self, Keys};
use crate::platform::database::{self, Credentials, Endpoint, Limits, Source};
use crate::platform::environment::{Environment, Problems};
use crate::platform::secret::SecretFolder;
use crate::platform::server;

const DEFAULT_SECRETS_FOLDER: &str = "/var/run/secrets/payment-api";

/// The folder of the secret files.
pub fn secrets(environment: &Environment) -> SecretFolder {
    SecretFolder::new(environment.get("SECRETS_DIR").unwrap_or(DEFAULT_SECRETS_FOLDER))
}

/// The limits of the connections for payments.
pub fn read_limits(environment: &Environment, problems: &mut Problems) -> Limits {
    let max_connections = environment.parse("DATABASE_MAX_CONNECTIONS", 10, "a number", problems);
    if max_connections == 0 {
        problems.push("DATABASE_MAX_CONNECTIONS must be at least 1".into());
    }
    let wait = environment.seconds("DATABASE_WAIT_SECONDS", 2, problems);
    let answer = environment.seconds("DATABASE_ANSWER_SECONDS", 6, problems);
    let connect = environment.seconds("DATABASE_CONNECT_SECONDS", 5, problems);
    // The chart sets it below SHUTDOWN_SECONDS: a payment that begins at the end of the drain is not cut off.
    let total = environment.seconds("DATABASE_TOTAL_SECONDS", 15, problems);
    Limits { max_connections, connect, wait, answer, total }
}

pub struct Settings {
    /// `None` for all addresses.
    pub bind_address: Option<IpAddr>,
    pub port: u16,
    /// Equal to `port` for the legacy layout, which serves the metrics beside the API.
    pub metrics_port: u16,
    pub region: String,
    pub environment: String,
    pub database: Source,
    pub limits: Limits,
    pub keys: Keys,
    /// The folder to watch for changed API keys; `None` if they come from environment variables.
    pub keys_folder: Option<SecretFolder>,
    pub simulation: Simulation,
    pub health: HealthPolicy,
    /// How long a pod that has served stays ready without a usable database.
    pub readiness_grace: Duration,
    /// How long `/readyz` answers 503 before the port closes. Must cover the load balancer's deregistration.
    pub drain: Duration,
    /// How long requests in flight may take after that.
    pub shutdown: Duration,
    pub request_timeout: Duration,
    /// How long the payment provider may take.
    pub provider_limit: Duration,
    /// Limits of the API's listener.
    pub http: server::Limits,
}

/// What `/api/payment/simulate` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Simulation {
    /// Writes and reads a row, so the latency is that of the region's database.
    Database,
    /// Sleeps for a time that depends on the region, as the legacy service did.
    LegacyLatency,
}

/// What `/health` answers while the database is unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthPolicy {
    /// 200 and `healthy`, because the process is; only the field `database` reports the outage.
    Process,
    /// 503 and `degraded`.
    WithDatabase,
}

impl Settings {
    pub fn read(environment: &Environment) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let folder = secrets(environment);
        let database = read_source(environment, &folder, &mut problems);
        let keys = read_keys(environment, &folder, &mut problems);
        let bind_address = environment.get("BIND_ADDRESS").and_then(|address| {
            let parsed = address.parse().ok();
            if parsed.is_none() {
                problems.push("BIND_ADDRESS must be an IP address".into());
            }
            parsed
        });
        let port = environment.parse("PORT", 8080, "a port number", &mut problems);
        let metrics_port = environment.parse("METRICS_PORT", 9090, "a port number", &mut problems);
        let limits = read_limits(environment, &mut problems);
        let simulation = match environment.get("SIMULATE_LATENCY") {
            None | Some("off") => Simulation::Database,
            Some("legacy") => Simulation::LegacyLatency,
            Some(_) => {
                problems.push("SIMULATE_LATENCY must be legacy or off".into());
                Simulation::Database
            }
        };
        let health = if environment.parse("HEALTH_WITH_DATABASE", false, "true or false", &mut problems) {
            HealthPolicy::WithDatabase
        } else {
            HealthPolicy::Process
        };
        let readiness_grace = environment.seconds("READINESS_GRACE_SECONDS", 60, &mut problems);
        let drain = environment.seconds("DRAIN_SECONDS", 5, &mut problems);
        let shutdown = environment.seconds("SHUTDOWN_SECONDS", 20, &mut problems);
        let request_timeout = environment.seconds("REQUEST_TIMEOUT_SECONDS", 10, &mut problems);
        // The client is told that a payment is unknown, and not only that it takes too long.
        let provider_limit = match environment.get("PROVIDER_SECONDS") {
            Some(_) => environment.seconds("PROVIDER_SECONDS", 0, &mut problems),
            None => request_timeout.mul_f64(0.7),
        };
        let http = server::Limits {
            connections: environment.parse("HTTP_MAX_CONNECTIONS", 2048, "a number", &mut problems),
            // Longer than the load balancer's idle timeout (ALB: 60 s), or it sends requests over connections that are
            // being closed here.
            idle: environment.seconds("HTTP_IDLE_SECONDS", 75, &mut problems),
            head: environment.seconds("HTTP_HEAD_SECONDS", 10, &mut problems),
        };
        if http.connections == 0 {
            problems.push("HTTP_MAX_CONNECTIONS must be at least 1".into());
        }
        if provider_limit >= request_timeout {
            problems.push("PROVIDER_SECONDS must be less than REQUEST_TIMEOUT_SECONDS".into());
        }
        match (database, keys) {
            (Some(database), Some((keys, keys_folder))) if problems.is_empty() => Ok(Self {
                bind_address,
                port,
                metrics_port,
                region: or_warn(environment, "REGION", "unknown"),
                environment: or_warn(environment, "ENVIRONMENT", "dev"),
                database,
                limits,
                keys,
                keys_folder,
                simulation,
                health,
                readiness_grace,
                drain,
                shutdown,
                request_timeout,
                provider_limit,
                http,
            }),
            _ => Err(problems),
        }
    }
}

fn or_warn(environment: &Environment, name: &str, default: &str) -> String {
    let value = environment.get(name).unwrap_or_else(|| {
        tracing::warn!("⚠️  {name} not set, defaulting to '{default}'");
        default
    });
    value.to_owned()
}

/// The database, with the credentials of `app`.
pub fn read_source(
    environment: &Environment,
    folder: &SecretFolder,
    problems: &mut Problems,
) -> Option<Source> {
    if let Some(url) = environment.get("DATABASE_URL") {
        let Some(endpoint) = Endpoint::of_url(url) else {
            // The message must not quote the URL, which contains the password.
            problems.push("DATABASE_URL must be a postgres:// URL with a percent-encoded password".into());
            return None;
        };
        return Some(Source::Url(endpoint));
    }
    let Some(endpoint) = Endpoint::read(environment, "DATABASE_HOST", problems) else {
        problems.push("❌ DATABASE_URL environment variable is required".into());
        problems.push(
            "fix: set DATABASE_URL, or DATABASE_HOST with DB_USERNAME and DB_PASSWORD in SECRETS_DIR".into(),
        );
        return None;
    };
    match Credentials::read(folder, database::USERNAME, database::PASSWORD) {
        Ok(credentials) => Some(Source::Files { endpoint, folder: folder.clone(), credentials }),
        Err(error) => {
            problems.push(error.to_string());
            None
        }
    }
}

fn read_keys(
    environment: &Environment,
    folder: &SecretFolder,
    problems: &mut Problems,
) -> Option<(Keys, Option<SecretFolder>)> {
    if let Some(current) = environment.get(api_keys::CURRENT) {
        let previous = environment.get(api_keys::PREVIOUS).map(SecretString::from);
        return Some((Keys { current: current.into(), previous }, None));
    }
    match Keys::read(folder) {
        Ok(keys) => Some((keys, Some(folder.clone()))),
        Err(error) => {
            problems.push("❌ API_SECRET_KEY environment variable is required".into());
            problems.push(format!("fix: set API_SECRET_KEY, or provide it as a file: {error}"));
            None
        }
    }
}
