//! `payment-api serve`: start, serve requests, drain, stop.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::{self, Accounts};
use crate::api_keys::ApiKeys;
use crate::flow::Payments;
use crate::http::v1::V1;
use crate::http::{self, App};
use crate::metrics::Metrics;
use crate::platform::database::Database;
use crate::platform::environment::Environment;
use crate::platform::http::AccessLog;
use crate::platform::lifecycle::Lifecycle;
use crate::platform::log::Log;
use crate::platform::signals::Signals;
use crate::platform::{Platform, descriptors, metrics, server};
use crate::provider::{Provider, Simulated};
use crate::residency::{Region, Residency};
use crate::settings::{Settings, Simulation};
use crate::simulation::retention;
use crate::store::Store;
use crate::{domain, residency, simulation, watch as secrets, work};

/// Limits of the listener for probes and metrics. Few connections suffice: each client of it has one or two.
const INNER_LIMITS: server::Limits =
    server::Limits { connections: 64, idle: Duration::from_secs(75), head: Duration::from_secs(5) };

/// Exits with 0 if every request finished during the drain, with 1 otherwise.
pub async fn run(environment: &Environment, log: &Log) -> ExitCode {
    let settings = match Settings::read(environment) {
        Ok(settings) => settings,
        Err(problems) => {
            for problem in problems {
                tracing::error!("{problem}");
            }
            return ExitCode::FAILURE;
        }
    };
    match serve(settings, log).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(requests) => {
            tracing::error!(requests, "requests were cut off");
            ExitCode::FAILURE
        }
        Err(error) => {
            tracing::error!("❌ Server failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Settings, log: &Log) -> Result<usize, ServeError> {
    tracing::info!("🚀 Starting Payment Latency API");
    tracing::info!("   Region: {}", settings.region);
    tracing::info!("   Environment: {}", settings.environment);
    tracing::info!("   Port: {}", settings.port);
    tracing::info!("   Database: {}", settings.database.place());

    let mut signals = Signals::listen().map_err(ServeError::Signals)?;
    let http_limits = descriptors::fit(settings.http);
    let listener = listen(&settings, settings.port).await?;
    let shares_port = settings.metrics_port == settings.port && settings.port != 0;
    let inner_listener =
        if shares_port { None } else { Some(listen(&settings, settings.metrics_port).await?) };
    tracing::info!("✅ Server listening on :{}", port_of(&listener)?);

    let (drain, shutdown, request_timeout) = (settings.drain, settings.shutdown, settings.request_timeout);
    let mut tasks = JoinSet::new();
    let app = start(settings, log, &mut tasks)?;
    let beside_the_api = if shares_port { http::metrics(&app) } else { Router::new() };
    let api = http::api(&app, request_timeout, beside_the_api);

    if let Some(listener) = inner_listener {
        tracing::info!("   Metrics: :{}", listener.local_addr().map_or(0, |address| address.port()));
        let inner = http::inner(&app);
        tasks.spawn(async move {
            server::serve(listener, inner, INNER_LIMITS, std::future::pending(), Duration::ZERO).await;
        });
    }
    let end = CancellationToken::new();
    let mut listeners = JoinSet::new();
    listeners.spawn(server::serve(listener, api, http_limits, end.clone().cancelled_owned(), shutdown));

    // Without any of these the process would look alive and do nothing. What it has begun is finished, and Kubernetes
    // starts another one.
    let broken = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, seconds = drain.as_secs(), "draining");
            None
        }
        ended = listeners.join_next() => Some(ServeError::Ended(ended.and_then(Result::err))),
        ended = first_to_end(&mut tasks) => Some(ServeError::Ended(ended)),
    };
    if let Some(error) = &broken {
        tracing::error!(seconds = drain.as_secs(), "{error}; draining");
    }
    app.platform.lifecycle.mark_draining();
    tokio::select! {
        () = tokio::time::sleep(drain) => {}
        signal = signals.next() => tracing::info!(signal, "ending the drain early"),
    }
    tracing::info!(seconds = shutdown.as_secs(), "closing the port; waiting for requests in flight");
    let deadline = Instant::now() + shutdown;
    end.cancel();
    let answering = listeners.join_next().await.unwrap_or(Ok(0)).map_err(ServeError::Task)?;
    let cut_off = finish_work(&app.platform.lifecycle.work, deadline).await.max(answering);
    app.platform.database.close();
    tracing::info!("stopped");
    // Probes and metrics are served until here, so that the drain can be observed.
    drop(tasks);
    broken.map_or(Ok(cut_off), Err)
}

/// Waits until one of the background tasks ends, which none of them should. Returns why, if it panicked.
async fn first_to_end(tasks: &mut JoinSet<()>) -> Option<JoinError> {
    match tasks.join_next().await {
        Some(ended) => ended.err(),
        None => std::future::pending().await,
    }
}

/// Waits for work whose client may have gone away. Returns how much of it is cut off.
async fn finish_work(work: &TaskTracker, deadline: Instant) -> usize {
    work.close();
    match tokio::time::timeout_at(deadline, work.wait()).await {
        Ok(()) => 0,
        Err(_) => work.len(),
    }
}

/// Creates the application and starts its background tasks.
fn start(settings: Settings, log: &Log, tasks: &mut JoinSet<()>) -> Result<Arc<App>, ServeError> {
    let probe_statement = match settings.simulation {
        Simulation::Database => simulation::PROBE_STATEMENT,
        Simulation::LegacyLatency => "SELECT current_setting('transaction_read_only')",
    };
    let database = Database::open(settings.database, settings.limits, probe_statement, tasks);
    let platform = Arc::new(Platform {
        database: Arc::clone(&database),
        lifecycle: Lifecycle::new(),
        metrics: metrics::Metrics::new(log.lost_lines())?,
        access_log: AccessLog::new(std::time::Instant::now()),
        may_log: |text| !domain::contains_card_number(text),
        readiness_grace: settings.readiness_grace,
    });
    let provider: Arc<dyn Provider> = Arc::new(Simulated::default());
    let payments = |store| Payments::new(store, Arc::clone(&provider), settings.provider_limit);
    let background = payments(Store::background(Arc::clone(&database)));
    let accounts = Arc::new(Accounts::default());
    tasks.spawn(accounts::watch(Arc::clone(&accounts), Store::background(Arc::clone(&database))));
    let residency = Arc::new(Residency::default());
    let v1 = Arc::new(V1 {
        platform: Arc::clone(&platform),
        payments: Arc::new(payments(Store::new(Arc::clone(&database)))),
        accounts,
        residency: Arc::clone(&residency),
        region: settings.region.clone(),
    });
    let app = Arc::new(App {
        v1,
        metrics: Metrics::register(platform.metrics.registry(), &settings.region, &settings.environment)?,
        platform,
        region: settings.region,
        environment: settings.environment,
        simulation: settings.simulation,
        health: settings.health,
        keys: ApiKeys::new(&settings.keys),
    });
    if let Some(folder) = settings.keys_folder {
        tasks.spawn(secrets::api_keys(Arc::clone(&app), folder));
    }
    if let Some(folder) = database.secret_folder().cloned() {
        tasks.spawn(secrets::database_credentials(Arc::clone(&database), folder));
    }
    match settings.simulation {
        Simulation::Database => {
            tasks.spawn(retention::run(database));
        }
        // It stores nothing, so it does not matter where. Only /v1 waits for the right database.
        Simulation::LegacyLatency => app.platform.lifecycle.admit(),
    }
    tasks.spawn(open_v1(Arc::clone(&app), residency, background));
    Ok(app)
}

/// Opens `/v1` and starts what goes on beside it, once the database is known to be that of this region. Ends if it is
/// another region's; a process that only simulates goes on.
async fn open_v1(app: Arc<App>, residency: Arc<Residency>, background: Payments) {
    let store = &background.store;
    let mut region = residency::learn(store, &app.region, None).await;
    if region == Region::None {
        // The legacy service's routes need no region.
        app.platform.lifecycle.admit();
        region = residency::learn(store, &app.region, Some(region)).await;
    }
    match region {
        Region::Own => {
            app.platform.lifecycle.admit();
            residency.confirm();
            work::run(&background).await;
        }
        _ if app.simulation == Simulation::LegacyLatency => std::future::pending().await,
        _ => {}
    }
}

async fn listen(settings: &Settings, port: u16) -> Result<TcpListener, ServeError> {
    let listener = server::listen(settings.bind_address, port).await;
    listener.map_err(|cause| ServeError::Listen { port, cause })
}

fn port_of(listener: &TcpListener) -> Result<u16, ServeError> {
    listener.local_addr().map(|address| address.port()).map_err(ServeError::Address)
}

#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("failed to listen on port {port}: {cause}")]
    Listen { port: u16, cause: io::Error },
    #[error("failed to read the address of the listening socket: {0}")]
    Address(io::Error),
    #[error("failed to install signal handlers: {0}")]
    Signals(io::Error),
    #[error("failed to register metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("the server task ended unexpectedly: {0}")]
    Task(JoinError),
    #[error("a background task ended unexpectedly{}", .0.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    Ended(Option<JoinError>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_background_task_that_ends_is_noticed_and_a_panic_is_its_reason() {
        let mut tasks = JoinSet::new();
        tasks.spawn(std::future::pending());
        tasks.spawn(async {});
        assert!(first_to_end(&mut tasks).await.is_none());
        tasks.spawn(async { panic!("a bug") });
        let reason = ServeError::Ended(first_to_end(&mut tasks).await).to_string();
        assert!(
            reason.starts_with("a background task ended unexpectedly: ") && reason.contains("a bug"),
            "{reason}"
        );
    }
}
