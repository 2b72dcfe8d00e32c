//! The metrics of payments, with the legacy service's names.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntGaugeVec, Opts, Registry};

use crate::cli::{REVISION, VERSION};

/// In seconds: the legacy bounds (0.1 to 5) and finer ones below, because the target is 100 ms.
const PAYMENT_BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0];

pub struct Metrics {
    payment_seconds: Histogram,
}

impl Metrics {
    /// Adds them to `registry`.
    pub fn register(registry: &Registry, region: &str, environment: &str) -> Result<Self, prometheus::Error> {
        let build = IntGaugeVec::new(
            Opts::new("payment_api_build_info", "Version and place of this process; always 1"),
            &["version", "revision", "region", "environment"],
        )?;
        build.with_label_values(&[VERSION, REVISION, region, environment]).set(1);
        registry.register(Box::new(build))?;
        let payment_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "payment_processing_duration_seconds",
                "Payment processing latency in seconds",
            )
            .buckets(PAYMENT_BUCKETS.into()),
        )?;
        registry.register(Box::new(payment_seconds.clone()))?;
        Ok(Self { payment_seconds })
    }

    pub fn record_payment(&self, took: Duration) {
        self.payment_seconds.observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::log::LostLines;

    #[test]
    fn the_payment_histogram_exists_before_the_first_payment() {
        let platform = crate::platform::metrics::Metrics::new(LostLines::none()).unwrap();
        Metrics::register(platform.registry(), "here", "test").unwrap();
        let text = String::from_utf8(platform.exposition().unwrap()).unwrap();
        assert!(
            text.contains(
                "# HELP payment_processing_duration_seconds Payment processing latency in seconds\n"
            )
        );
        assert!(text.contains("payment_processing_duration_seconds_bucket{le=\"0.1\"} 0\n"));
        assert!(!text.contains("http_requests_total"));
    }

    #[test]
    fn every_legacy_bucket_still_exists() {
        for bound in [0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0] {
            assert!(PAYMENT_BUCKETS.contains(&bound), "{bound}");
        }
    }
}
