//! SIGTERM: unready immediately, closed after the drain, no request cut off.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::http::connect;
use crate::support::{World, eventually, get};

fn wait_until_closed(port: u16) {
    eventually("the port is closed", || TcpStream::connect(("127.0.0.1", port)).err());
}

#[test]
fn a_draining_service_is_unready_but_still_answers() {
    let world = World::new();
    let service = world.start_with(&[("DRAIN_SECONDS", "600")]).ready();
    service.signal("TERM");
    service.wait_for_log("draining");
    let readiness = get(service.port, "/readyz?verbose");
    assert_eq!(readiness.status, 503);
    assert_eq!(readiness.body, "[+]database ok\n[+]admission ok\n[-]shutdown failed\nreadyz check failed\n");
    assert_eq!(get(service.port, "/livez").status, 200);
    let reply = get(service.port, "/info");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("connection"), Some("close"));

    // A second signal ends the drain early.
    service.signal("TERM");
    wait_until_closed(service.port);
    assert_eq!(service.end().code, Some(0));
}

#[test]
fn a_payment_in_flight_is_finished() {
    let world = World::new();
    let service = world.start_with(&[("SHUTDOWN_SECONDS", "60")]).ready();
    let (payment, session) = world.blocked_payment(&service);
    service.signal("TERM");
    wait_until_closed(service.port);
    drop(session);
    assert_eq!(payment.reply().unwrap().status, 200);
    let ended = service.end();
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.messages().last(), Some(&"stopped"));
    assert_eq!(world.sql("SELECT count(*) FROM payments.simulated_payments"), "1");
}

#[test]
fn a_payment_that_takes_too_long_is_cut_off_and_reported() {
    let world = World::new();
    let service = world.start_with(&[("SHUTDOWN_SECONDS", "0")]).ready();
    let (payment, session) = world.blocked_payment(&service);
    service.signal("TERM");
    let ended = service.end();
    assert_eq!(ended.code, Some(1));
    assert!(ended.logged("requests were cut off"));
    assert!(payment.reply().is_err());
    eventually("the database notices that the payment's connection is closed", || {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND wait_event_type = 'Lock'";
        (world.sql(waiting) == "0").then_some(())
    });
    drop(session);
    assert_eq!(world.sql("SELECT count(*) FROM payments.simulated_payments"), "0");
}

#[test]
fn clients_without_a_request_do_not_delay_the_end() {
    let world = World::new();
    // As long as a test may take: an idle connection that is waited for fails the test.
    let service = world.start_with(&[("SHUTDOWN_SECONDS", "600")]).ready();
    let _idle = connect(service.port);
    let mut slow = connect(service.port);
    slow.write_all(b"GET /info HTTP/1.1\r\nHost: ").unwrap();
    let mut used = connect(service.port);
    used.write_all(b"GET /info HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    used.read_exact(&mut [0; 15]).unwrap();
    service.signal("TERM");
    let ended = service.end();
    assert_eq!(ended.code, Some(0));
    assert!(!ended.logged("requests were cut off"));
}

#[test]
fn a_payment_whose_client_went_away_is_finished_before_the_end() {
    let world = World::new();
    let service = world.start_with(&[("SHUTDOWN_SECONDS", "60")]).ready();
    let (payment, session) = world.blocked_payment(&service);
    payment.reset();
    service.signal("TERM");
    wait_until_closed(service.port);
    drop(session);
    assert_eq!(service.end().code, Some(0));
    assert_eq!(world.sql("SELECT count(*) FROM payments.simulated_payments"), "1");
}

#[test]
fn probes_and_metrics_are_served_until_the_last_request_is_finished() {
    let world = World::new();
    let service = world.start_with(&[("SHUTDOWN_SECONDS", "60")]).ready();
    let (payment, session) = world.blocked_payment(&service);
    service.signal("TERM");
    wait_until_closed(service.port);
    assert_eq!(get(service.metrics_port, "/livez").status, 200);
    assert!(service.metrics().contains("http_requests_in_flight 1\n"));
    drop(session);
    assert_eq!(payment.reply().unwrap().status, 200);
}

#[test]
fn sigint_stops_the_service_too() {
    let world = World::empty();
    let service = world.start();
    service.signal("INT");
    assert_eq!(service.end().code, Some(0));
}
