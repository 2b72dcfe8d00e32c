//! The metrics of requests, database, log and process. A service registers its own beside them.

use std::time::Duration;

use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::platform::log::LostLines;

/// In seconds: the defaults of Prometheus's Go client, which the legacy service used.
const REQUEST_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    requests_in_flight: IntGauge,
    database_up: IntGauge,
    database_writable: IntGauge,
    database_connections: IntGaugeVec,
    log_lines_lost: IntCounter,
    /// What the log counted. Copied into the metric when it is read.
    lost: LostLines,
}

/// A request in flight. Counted until dropped, which also happens when the client disconnects.
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    pub fn new(lost: LostLines) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new("http_requests_total", "Total number of HTTP requests"),
            &["method", "endpoint", "status"],
        )?;
        let request_seconds = HistogramVec::new(
            HistogramOpts::new("http_request_duration_seconds", "HTTP request latency in seconds")
                .buckets(REQUEST_BUCKETS.into()),
            &["method", "endpoint"],
        )?;
        let requests_in_flight = IntGauge::new("http_requests_in_flight", "HTTP requests in flight")?;
        let database_up =
            IntGauge::new("database_up", "Whether the database answered the last check, one per second")?;
        let database_writable = IntGauge::new(
            "database_writable",
            "Whether the database accepted writes at the last check, one per second",
        )?;
        let database_connections = IntGaugeVec::new(
            Opts::new("database_connections", "Connections of the payment pool"),
            &["state"],
        )?;
        let log_lines_lost = IntCounter::new(
            "log_lines_lost_total",
            "Log lines that were not written because standard error was not read, or was closed",
        )?;
        let registry = Registry::new();
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(request_seconds.clone()))?;
        registry.register(Box::new(requests_in_flight.clone()))?;
        registry.register(Box::new(database_up.clone()))?;
        registry.register(Box::new(database_writable.clone()))?;
        registry.register(Box::new(database_connections.clone()))?;
        registry.register(Box::new(log_lines_lost.clone()))?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self {
            registry,
            requests,
            request_seconds,
            requests_in_flight,
            database_up,
            database_writable,
            database_connections,
            log_lines_lost,
            lost,
        })
    }

    /// Where the service registers its own metrics.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub fn enter(&self) -> InFlight {
        self.requests_in_flight.inc();
        InFlight(self.requests_in_flight.clone())
    }

    pub fn record_request(&self, method: &str, endpoint: &str, status: &str, took: Duration) {
        self.requests.with_label_values(&[method, endpoint, status]).inc();
        self.request_seconds.with_label_values(&[method, endpoint]).observe(took.as_secs_f64());
    }

    pub fn record_database(&self, is_up: bool, is_writable: bool, in_use: usize, idle: usize) {
        self.database_up.set(is_up.into());
        self.database_writable.set(is_writable.into());
        self.database_connections.with_label_values(&["in_use"]).set(count(in_use));
        self.database_connections.with_label_values(&["idle"]).set(count(idle));
    }

    /// All metrics in Prometheus's text format, version 0.0.4.
    pub fn exposition(&self) -> Result<Vec<u8>, prometheus::Error> {
        self.log_lines_lost.inc_by(self.lost.count().saturating_sub(self.log_lines_lost.get()));
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
