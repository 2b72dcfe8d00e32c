//! `payment-api serve`: start, serve requests, drain, stop.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api_keys::ApiKeys;
use crate::database::Database;
use crate::environment::Environment;
use crate::http::{self, AccessLog, App};
use crate::lifecycle::Lifecycle;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::settings::{Settings, Simulation};
use crate::signals::Signals;
use crate::{descriptors, payment, retention, server, watch as secrets};

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

async fn serve(settings: Settings, log: &Log) -> Result<usize, StartError> {
    tracing::info!("🚀 Starting Payment Latency API");
    tracing::info!("   Region: {}", settings.region);
    tracing::info!("   Environment: {}", settings.environment);
    tracing::info!("   Port: {}", settings.port);
    tracing::info!("   Database: {}", settings.database.place());

    let mut signals = Signals::listen().map_err(StartError::Signals)?;
    let http_limits = descriptors::fit(settings.http);
    let listener = listen(&settings, settings.port).await?;
    let shares_port = settings.metrics_port == settings.port && settings.port != 0;
    let inner_listener =
        if shares_port { None } else { Some(listen(&settings, settings.metrics_port).await?) };
    tracing::info!("✅ Server listening on :{}", port_of(&listener)?);

    let (drain, shutdown, request_timeout) = (settings.drain, settings.shutdown, settings.request_timeout);
    let app = start(settings, log)?;
    let beside_the_api = if shares_port { http::metrics(&app) } else { Router::new() };
    let api = http::api(&app, request_timeout, beside_the_api);

    let inner_end = CancellationToken::new();
    let inner = inner_listener.map(|listener| {
        tracing::info!("   Metrics: :{}", listener.local_addr().map_or(0, |address| address.port()));
        let end = inner_end.clone().cancelled_owned();
        tokio::spawn(server::serve(listener, http::inner(&app), INNER_LIMITS, end, Duration::ZERO))
    });
    let end = CancellationToken::new();
    let api =
        tokio::spawn(server::serve(listener, api, http_limits, end.clone().cancelled_owned(), shutdown));

    let signal = signals.next().await;
    tracing::info!(signal, seconds = drain.as_secs(), "draining");
    app.lifecycle.mark_draining();
    tokio::select! {
        () = tokio::time::sleep(drain) => {}
        signal = signals.next() => tracing::info!(signal, "ending the drain early"),
    }
    tracing::info!(seconds = shutdown.as_secs(), "closing the port; waiting for requests in flight");
    let deadline = Instant::now() + shutdown;
    end.cancel();
    let answering = api.await.map_err(StartError::Task)?;
    let cut_off = finish_work(&app.lifecycle.work, deadline).await.max(answering);
    // Probes and metrics are served until here, so that the drain can be observed.
    inner_end.cancel();
    if let Some(inner) = inner {
        inner.await.map_err(StartError::Task)?;
    }
    app.database.close();
    tracing::info!("stopped");
    Ok(cut_off)
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
fn start(settings: Settings, log: &Log) -> Result<Arc<App>, StartError> {
    let probe_statement = match settings.simulation {
        Simulation::Database => payment::PROBE_STATEMENT,
        Simulation::LegacyLatency => "SELECT current_setting('transaction_read_only')",
    };
    let database = Database::open(settings.database, settings.limits, probe_statement);
    let app = Arc::new(App {
        metrics: Metrics::new(&settings.region, &settings.environment, log.lost_lines())?,
        region: settings.region,
        environment: settings.environment,
        simulation: settings.simulation,
        health: settings.health,
        readiness_grace: settings.readiness_grace,
        keys: ApiKeys::new(&settings.keys),
        database: Arc::clone(&database),
        lifecycle: Lifecycle::new(),
        access_log: AccessLog::new(std::time::Instant::now()),
    });
    if let Some(folder) = settings.keys_folder {
        tokio::spawn(secrets::api_keys(Arc::clone(&app), folder));
    }
    if let Some(folder) = database.secret_folder().cloned() {
        tokio::spawn(secrets::database_credentials(Arc::clone(&database), folder));
    }
    if settings.simulation == Simulation::Database {
        tokio::spawn(retention::run(database));
    }
    Ok(app)
}

async fn listen(settings: &Settings, port: u16) -> Result<TcpListener, StartError> {
    let listener = server::listen(settings.bind_address, port).await;
    listener.map_err(|cause| StartError::Listen { port, cause })
}

fn port_of(listener: &TcpListener) -> Result<u16, StartError> {
    listener.local_addr().map(|address| address.port()).map_err(StartError::Address)
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("failed to listen on port {port}: {cause}")]
    Listen { port: u16, cause: io::Error },
    #[error("failed to read the address of the listening socket: {0}")]
    Address(io::Error),
    #[error("failed to install signal handlers: {0}")]
    Signals(io::Error),
    #[error("failed to register metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("the server task ended unexpectedly: {0}")]
    Task(tokio::task::JoinError),
}
