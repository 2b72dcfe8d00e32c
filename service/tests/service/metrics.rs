//! `/metrics`: legacy names, labels and buckets; clients cannot create new label values.

use crate::support::world::API_KEY;
use crate::support::{World, free_port, get, get_with, request};

#[test]
fn the_legacy_metrics_keep_their_names_labels_and_help() {
    let world = World::new();
    let service = world.start().ready();
    get_with(service.port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]);
    get(service.port, "/api/payment/simulate");
    let text = service.metrics();
    for line in [
        "# HELP http_requests_total Total number of HTTP requests\n# TYPE http_requests_total counter\n",
        "http_requests_total{endpoint=\"/api/payment/simulate\",method=\"GET\",status=\"200\"} 1\n",
        "http_requests_total{endpoint=\"/api/payment/simulate\",method=\"GET\",status=\"401\"} 1\n",
        "# HELP http_request_duration_seconds HTTP request latency in seconds\n",
        "http_request_duration_seconds_count{endpoint=\"/api/payment/simulate\",method=\"GET\"} 2\n",
        "# HELP payment_processing_duration_seconds Payment processing latency in seconds\n",
        "payment_processing_duration_seconds_bucket{le=\"0.075\"} ",
        "payment_processing_duration_seconds_bucket{le=\"0.3\"} ",
        "payment_processing_duration_seconds_bucket{le=\"+Inf\"} 1\n",
        "payment_processing_duration_seconds_count 1\n",
        "process_resident_memory_bytes ",
        "database_up 1\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    for bound in ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"] {
        let labels = "endpoint=\"/api/payment/simulate\",method=\"GET\"";
        let bucket = format!("http_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} ");
        assert!(text.contains(&bucket), "{bucket} is not in {text}");
    }
}

#[test]
fn the_payment_histogram_observes_the_measured_duration() {
    let world = World::new();
    let service = world.start_with(&[("SIMULATE_LATENCY", "legacy"), ("REGION", "us-east-1")]).ready();
    get_with(service.port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]);
    let text = service.metrics();
    let sum =
        text.lines().find_map(|line| line.strip_prefix("payment_processing_duration_seconds_sum ")).unwrap();
    // The sleep is a whole number of milliseconds; the measured duration is not.
    let milliseconds = sum.parse::<f64>().unwrap() * 1000.0;
    assert!(milliseconds > 100.0 && milliseconds.fract() > 0.0, "{sum}");
}

#[test]
fn clients_cannot_create_new_time_series() {
    let world = World::new();
    let service = world.start();
    for path in ["/a", "/b", "/health/x"] {
        get(service.port, path);
    }
    for method in ["FOO", "BAR"] {
        request(service.port, method, "/info", &[]).unwrap();
    }
    let text = service.metrics();
    assert!(text.contains("{endpoint=\"unmatched\",method=\"GET\",status=\"404\"} 3\n"), "{text}");
    assert!(text.contains("{endpoint=\"/info\",method=\"_OTHER\",status=\"405\"} 2\n"), "{text}");
    assert!(!text.contains("FOO") && !text.contains("/a\""), "{text}");
}

#[test]
fn the_metrics_port_serves_nothing_else() {
    let world = World::new();
    let service = world.start();
    let reply = get(service.metrics_port, "/metrics");
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(get(service.metrics_port, "/health").status, 404);
    assert!(!service.metrics().contains("endpoint=\"/metrics\""));
}

#[test]
fn metrics_are_compressed_if_the_client_accepts_gzip() {
    let world = World::new();
    let service = world.start();
    let reply = get_with(service.metrics_port, "/metrics", &[("Accept-Encoding", "gzip")]);
    assert_eq!(reply.header("content-encoding"), Some("gzip"));
}

#[test]
fn equal_ports_serve_the_metrics_beside_the_api() {
    let world = World::new();
    let port = free_port().to_string();
    let service = world.start_with(&[("PORT", &port), ("METRICS_PORT", &port)]);
    assert!(get(service.port, "/metrics").body.contains("payment_processing_duration_seconds_count 0"));
    assert_eq!(get(service.port, "/info").status, 200);
}
