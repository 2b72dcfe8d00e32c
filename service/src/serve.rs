//! `payment-api serve`: start, serve requests, drain, stop.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::api_keys::ApiKeys;
use crate::database::Database;
use crate::environment::Environment;
use crate::http::{self, App};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::settings::{Settings, Simulation};
use crate::signals::Signals;
use crate::{payment, retention, server, watch as secrets};

/// Exits with 0 if every request finished during the drain, with 1 otherwise.
pub async fn run(environment: &Environment) -> ExitCode {
    let settings = match Settings::read(environment) {
        Ok(settings) => settings,
        Err(problems) => {
            for problem in problems {
                tracing::error!("{problem}");
            }
            return ExitCode::FAILURE;
        }
    };
    match serve(settings).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(connections) => {
            tracing::error!(connections, "requests were cut off");
            ExitCode::FAILURE
        }
        Err(error) => {
            tracing::error!("❌ Server failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Settings) -> Result<usize, StartError> {
    tracing::info!("🚀 Starting Payment Latency API");
    tracing::info!("   Region: {}", settings.region);
    tracing::info!("   Environment: {}", settings.environment);
    tracing::info!("   Port: {}", settings.port);
    tracing::info!("   Database: {}", settings.database.place());

    let mut signals = Signals::listen().map_err(StartError::Signals)?;
    let listener = listen(&settings, settings.port).await?;
    let shares_port = settings.metrics_port == settings.port && settings.port != 0;
    let metrics_listener =
        if shares_port { None } else { Some(listen(&settings, settings.metrics_port).await?) };
    tracing::info!("✅ Server listening on :{}", port_of(&listener)?);

    let (drain, shutdown, request_timeout) = (settings.drain, settings.shutdown, settings.request_timeout);
    let app = start(settings)?;
    let api = http::api(&app, request_timeout);
    let api = if shares_port { api.merge(http::metrics(&app)) } else { api };

    let (end, ended) = watch::channel(false);
    let metrics = metrics_listener.map(|listener| {
        tracing::info!("   Metrics: :{}", listener.local_addr().map_or(0, |address| address.port()));
        tokio::spawn(serve_until(ended.clone(), listener, http::metrics(&app), Duration::ZERO))
    });
    let api = tokio::spawn(serve_until(ended, listener, api, shutdown));

    let signal = signals.next().await;
    tracing::info!(signal, seconds = drain.as_secs(), "draining");
    app.lifecycle.mark_draining();
    tokio::select! {
        () = tokio::time::sleep(drain) => {}
        signal = signals.next() => tracing::info!(signal, "ending the drain early"),
    }
    tracing::info!(seconds = shutdown.as_secs(), "closing the port; waiting for requests in flight");
    end.send_replace(true);
    let cut_off = api.await.map_err(StartError::Task)?;
    if let Some(metrics) = metrics {
        metrics.await.map_err(StartError::Task)?;
    }
    app.database.close();
    tracing::info!("stopped");
    Ok(cut_off)
}

/// Creates the application and starts its background tasks.
fn start(settings: Settings) -> Result<Arc<App>, StartError> {
    let probe_statement = match settings.simulation {
        Simulation::Database => payment::PROBE_STATEMENT,
        Simulation::LegacyLatency => "SELECT current_setting('transaction_read_only')",
    };
    let database = Database::open(settings.database, settings.limits, probe_statement);
    let app = Arc::new(App {
        metrics: Metrics::new(&settings.region, &settings.environment)?,
        region: settings.region,
        environment: settings.environment,
        simulation: settings.simulation,
        health: settings.health,
        keys: ApiKeys::new(&settings.keys),
        database: Arc::clone(&database),
        lifecycle: Lifecycle::new(),
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

async fn serve_until(
    mut ended: watch::Receiver<bool>,
    listener: TcpListener,
    router: Router,
    grace: Duration,
) -> usize {
    let end = async {
        // An error means that the sender was dropped, which also means the end.
        drop(ended.wait_for(|ended| *ended).await);
    };
    server::serve(listener, router, end, grace).await
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
