//! The four routes, as clients of the legacy service know them.

use crate::support::http::shape;
use crate::support::world::API_KEY;
use crate::support::{World, get, get_with, request};

/// Recorded responses of the legacy service.
const HEALTH: &str = "{\"status\":\"healthy\",\"region\":\"eu-south-2\",\"latency_ms\":\"0.00\",\"database\":\"connected\",\
    \"timestamp\":\"2026-11-21T22:10:48.379409911Z\",\"environment\":\"production\",\"uptime_seconds\":1000000000}\n";
const INFO: &str = "{\"name\":\"payment-latency-api\",\"version\":\"1.0.0\",\"region\":\"eu-south-2\",\
    \"environment\":\"production\",\"timestamp\":\"2026-11-21T22:10:48.379409911Z\"}\n";
const RECEIPT_END: &str = "\",\"status\":\"approved\",\"processing_time_ms\":\"90.00\",\"region\":\"eu-south-2\",\
    \"timestamp\":\"2026-11-21T22:10:48.379409911Z\"}\n";

#[test]
fn health_has_the_recorded_shape() {
    let world = World::new();
    let service = world.start().ready();
    let reply = get(service.port, "/health");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.shape(), shape(HEALTH));
}

#[test]
fn uptime_is_in_seconds() {
    let world = World::new();
    let service = world.start().ready();
    let health: serde_json::Value = serde_json::from_str(&get(service.port, "/health").body).unwrap();
    assert!(health["uptime_seconds"].as_u64().unwrap() < 3600, "{health}");
}

#[test]
fn info_has_the_recorded_shape() {
    let world = World::new();
    let service = world.start();
    let reply = get(service.port, "/info?anything=goes");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.shape(), shape(INFO));
}

#[test]
fn a_payment_has_the_recorded_shape_and_is_in_the_database() {
    let world = World::new();
    let service = world.start().ready();
    let reply = get_with(service.port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let id = reply.body.strip_prefix("{\"transaction_id\":\"txn_").unwrap();
    let (id, rest) = id.split_at(32);
    assert_eq!(shape(rest), shape(RECEIPT_END));
    assert_eq!(&id[12..13], "7", "{id} is not a version 7 UUID");
    let row = world.sql(&format!("SELECT region, status FROM payments.simulated_payments WHERE id = '{id}'"));
    assert_eq!(row, "eu-south-2|approved");
}

#[test]
fn concurrent_payments_have_different_ids() {
    let world = World::new();
    let service = world.start().ready();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let reply = get_with(service.port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]);
                    assert_eq!(reply.status, 200, "{}", reply.body);
                }
            });
        }
    });
    assert_eq!(world.sql("SELECT count(*) FROM payments.simulated_payments"), "40");
}

#[test]
fn the_legacy_latency_sleeps_and_stores_nothing() {
    let world = World::new();
    let service = world.start_with(&[("SIMULATE_LATENCY", "legacy"), ("REGION", "us-east-1")]).ready();
    let reply = get_with(service.port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]);
    assert_eq!(reply.status, 200);
    let receipt: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    let took: f64 = receipt["processing_time_ms"].as_str().unwrap().parse().unwrap();
    assert!(took >= 100.0, "{receipt}");
    assert_eq!(world.sql("SELECT count(*) FROM payments.simulated_payments"), "0");
}

#[test]
fn every_other_path_is_a_404_as_in_go() {
    let world = World::new();
    let service = world.start();
    for path in ["/", "/nope", "/health/", "/api/payment", "/metrics"] {
        let reply = get(service.port, path);
        assert_eq!((reply.status, reply.body.as_str()), (404, "404 page not found\n"), "{path}");
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
}

#[test]
fn only_get_and_head_are_allowed() {
    let world = World::new();
    let service = world.start();
    for path in ["/health", "/info", "/api/payment/simulate", "/readyz"] {
        for method in ["POST", "DELETE", "FOO"] {
            let reply = request(service.port, method, path, &[]).unwrap();
            assert_eq!(reply.status, 405, "{method} {path}");
            assert_eq!(reply.header("allow"), Some("GET,HEAD"), "{method} {path}");
        }
    }
    let head = request(service.port, "HEAD", "/info", &[]).unwrap();
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}
