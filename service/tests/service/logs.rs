//! The log: JSON, the legacy messages, request ids, and never a secret.

use crate::support::http::shape;
use crate::support::process::messages;
use crate::support::world::{API_KEY, APP_PASSWORD, CANARIES, MIGRATOR_PASSWORD};
use crate::support::{World, get, get_with, process};

#[test]
fn the_log_starts_with_the_legacy_lines_in_order() {
    let world = World::new();
    let service = world.start();
    let log = service.log();
    let expected = [
        "🚀 Starting Payment Latency API".to_owned(),
        "   Region: eu-south-2".to_owned(),
        "   Environment: production".to_owned(),
        "   Port: 0".to_owned(),
        format!("   Database: localhost:{}/{}", world.server.port, world.database),
        format!("✅ Server listening on :{}", service.port),
    ];
    assert_eq!(messages(&log)[..6], expected);
    assert!(log.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()));
}

#[test]
fn a_payment_is_logged_with_the_legacy_message_and_its_ids() {
    let world = World::new();
    let service = world.start().ready();
    let headers = [("X-API-Key", API_KEY), ("X-Request-Id", "the-clients-id")];
    let reply = get_with(service.port, "/api/payment/simulate", &headers);
    assert_eq!(reply.header("x-request-id"), Some("the-clients-id"));
    let line = service.wait_for_log("Payment processed");
    assert_eq!(
        shape(line["message"].as_str().unwrap()),
        shape("✅ Payment processed in 90.353833ms (region: eu-south-2)")
    );
    assert_eq!(line["request_id"], "the-clients-id");
    assert!(reply.body.contains(line["transaction_id"].as_str().unwrap()));
    let request = service.wait_for_log("request");
    assert_eq!((&request["request_id"], &request["status"]), (&"the-clients-id".into(), &200.into()));
    assert_eq!(request["endpoint"], "/api/payment/simulate");
}

#[test]
fn a_missing_or_malformed_request_id_is_replaced() {
    let world = World::new();
    let service = world.start();
    let long = "a".repeat(200);
    for headers in [&[][..], &[("X-Request-Id", "no spaces please")], &[("X-Request-Id", long.as_str())]] {
        let reply = get_with(service.port, "/info", headers);
        let id = reply.header("x-request-id").unwrap();
        assert_eq!(id.len(), 36, "{id}");
    }
}

#[test]
fn no_secret_is_ever_logged() {
    let world = World::new();
    let service = world.start_with(&[("LOG_LEVEL", "trace")]).ready();
    get_with(service.port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]);
    get_with(service.port, "/api/payment/simulate", &[("X-API-Key", &API_KEY[..API_KEY.len() - 1])]);
    get_with(service.port, "/health", &[("X-Request-Id", "x")]);
    world.sql(&format!("ALTER ROLE \"{}\" PASSWORD 'something-else'", world.app));
    world.disconnect();
    assert_eq!(get_with(service.port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]).status, 503);
    service.signal("TERM");
    let mut texts = vec![serde_json::to_string(&service.end().log).unwrap()];
    texts.push(serde_json::to_string(&world.migrate_with(&[("LOG_LEVEL", "trace")]).log).unwrap());
    let broken = format!("postgres://app:{}@[", CANARIES[0]);
    texts.push(
        serde_json::to_string(&process::run("serve", &world.environment(&[("DATABASE_URL", &broken)])).log)
            .unwrap(),
    );
    for canary in CANARIES {
        for text in &texts {
            assert!(!text.contains(canary), "{canary} is in {text}");
        }
    }
    // The server logs every statement.
    for password in [MIGRATOR_PASSWORD, &APP_PASSWORD[..12]] {
        assert!(!world.server.log().contains(password), "{password} is in the server's log");
    }
}

#[test]
fn probes_that_pass_are_not_logged() {
    let world = World::new();
    let service = world.start().ready();
    let before = service.log().len();
    for path in ["/livez", "/readyz", "/startupz", "/health"] {
        get(service.port, path);
    }
    get(service.port, "/info");
    let log = service.log();
    assert_eq!(messages(&log[before..]), ["request"]);
}
