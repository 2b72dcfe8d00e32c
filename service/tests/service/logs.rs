//! The log: JSON, the legacy messages, request ids, and never a secret.

use std::process::{Command, Stdio};

use crate::support::http::{exchange, shape};
use crate::support::process::messages;
use crate::support::world::{API_KEY, APP_PASSWORD, CANARIES, MIGRATOR_PASSWORD};
use crate::support::{World, eventually, free_port, get, get_with, process, request};

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
    service.wait_until_warm();
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
    for path in ["/livez", "/readyz", "/startupz", "/health"] {
        get(service.port, path);
    }
    get(service.port, "/info");
    service.wait_for_log("request");
    let log = service.log();
    let requests = log.iter().filter(|line| line["message"] == "request");
    assert_eq!(requests.map(|line| &line["endpoint"]).collect::<Vec<_>>(), ["/info"]);
}

#[test]
fn a_log_that_is_not_read_does_not_stop_the_service() {
    let world = World::new();
    let (port, metrics_port) = (free_port(), free_port());
    let (api, inner) = (port.to_string(), metrics_port.to_string());
    let environment = world.environment(&[("PORT", &api), ("METRICS_PORT", &inner)]);
    // The pipe takes 64 KiB, which is some 250 lines.
    let mut process = process::command("serve", &environment).stderr(Stdio::piped()).spawn().unwrap();
    let ready = || request(port, "GET", "/readyz", &[]).is_ok_and(|reply| reply.status == 200).then_some(());
    eventually("the service is ready", ready);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..250 {
                    let reply = get_with(port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]);
                    assert_eq!(reply.status, 200, "{}", reply.body);
                }
            });
        }
    });
    let metrics = get(metrics_port, "/metrics").body;
    let lost = metrics.lines().find_map(|line| line.strip_prefix("log_lines_lost_total ")).unwrap();
    assert!(lost.parse::<u32>().unwrap() > 0, "{lost}");
    let terminate = Command::new("kill").arg(process.id().to_string()).status().unwrap();
    assert!(terminate.success());
    let ended = eventually("the service ends", || process.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
}

/// The value of a line of metrics.
fn count(line: &str) -> u64 {
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn lines_are_counted_that_are_lost_because_the_log_was_closed() {
    let world = World::empty();
    let (port, metrics_port) = (free_port(), free_port());
    let (api, inner) = (port.to_string(), metrics_port.to_string());
    let environment = world.environment(&[("PORT", &api), ("METRICS_PORT", &inner)]);
    let mut process = process::command("serve", &environment).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the service answers", || request(port, "GET", "/livez", &[]).ok());
    drop(process.stderr.take());
    eventually("the lost line is counted", || {
        get(port, "/info");
        let metrics = get(metrics_port, "/metrics").body;
        let lost = metrics.lines().find(|line| line.starts_with("log_lines_lost_total ")).map(count);
        (lost.unwrap() > 0).then_some(())
    });
    process.kill().unwrap();
    process.wait().unwrap();
}

#[test]
fn a_flood_of_refused_requests_is_logged_in_part_and_counted_in_full() {
    let world = World::empty();
    let service = world.start();
    // In one packet, so that they arrive within the same second.
    let flood = "GET /api/payment/simulate HTTP/1.1\r\nHost: test\r\nX-API-Key: wrong\r\n\r\n".repeat(200);
    assert_eq!(exchange(service.port, &flood).matches("HTTP/1.1 403 Forbidden").count(), 200);
    // A later line says how many requests have none. All of them are in the log, one way or the other.
    let refused = eventually("all are accounted for", || {
        get(service.port, "/info");
        let log = service.log();
        let lines = log.iter().filter(|line| line["message"] == "request");
        let (refused, others): (Vec<_>, Vec<_>) = lines.partition(|line| line["status"] == 403);
        let skipped: u64 = log.iter().filter_map(|line| line["skipped"].as_u64()).sum();
        let all = service.metrics();
        let answered: u64 =
            all.lines().filter(|line| line.starts_with("http_requests_total{")).map(count).sum();
        (skipped > 0 && refused.len() as u64 + others.len() as u64 + skipped == answered)
            .then_some(refused.len())
    });
    assert!(refused < 200, "{refused} lines");
    let text = "http_requests_total{endpoint=\"/api/payment/simulate\",method=\"GET\",status=\"403\"} 200\n";
    assert!(service.metrics().contains(text), "{}", service.metrics());
}
