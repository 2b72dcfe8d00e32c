//! What clients notice when connections to the database break or fall silent.

use crate::support::freezer::Freezer;
use crate::support::world::API_KEY;
use crate::support::{Service, World, eventually, get, get_with, wait_for_status};

/// What the service logs when a check has found that connections are silent.
const REPLACED: &str = "open database connections are no longer usable, replacing them";

fn pay(service: &Service) -> u16 {
    get_with(service.port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]).status
}

/// Connections of the application that were opened after a time and wait for a statement, as PostgreSQL sees them.
fn idle_connections(world: &World, since: &str) -> u32 {
    let idle = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND state = 'idle' AND backend_start > '{since}'",
        world.app
    );
    world.sql(&idle).parse().unwrap()
}

fn now(world: &World) -> String {
    world.sql("SELECT clock_timestamp()")
}

/// Waits until a check has begun and ended. The next one is a second away.
fn wait_for_check(world: &World) {
    let asked = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND state = 'idle' \
         AND query LIKE '%transaction_read_only%' AND query_start > '{}'",
        world.app,
        now(world)
    );
    eventually("the database is checked", || (world.sql(&asked) == "1").then_some(()));
}

/// A service that has paid. A payment on a silent connection would take longer than a test may, so only the checks can find
/// such connections.
fn about_to_freeze(world: &World, freezer: &Freezer) -> Service {
    let service = world.start_with(&[
        ("DATABASE_PORT", &freezer.port.to_string()),
        ("DATABASE_CONNECT_SECONDS", "5"),
        ("DATABASE_ANSWER_SECONDS", "600"),
        ("DATABASE_TOTAL_SECONDS", "600"),
        ("REQUEST_TIMEOUT_SECONDS", "600"),
    ]);
    let service = service.ready();
    eventually("a payment succeeds", || (pay(&service) == 200).then_some(()));
    // An answer to a payment while a check is under way would speak for its connection.
    wait_for_check(world);
    service
}

#[test]
fn payments_continue_when_open_connections_fall_silent() {
    let world = World::new();
    let freezer = Freezer::start(world.server.port);
    let service = about_to_freeze(&world, &freezer);
    freezer.freeze();
    service.wait_for_log(REPLACED);
    for _ in 0..20 {
        assert_eq!(pay(&service), 200);
    }
    wait_for_status(&service, "/readyz", 200);
}

#[test]
fn silent_connections_are_replaced_also_when_no_new_one_works_for_a_while() {
    let world = World::new();
    let freezer = Freezer::start(world.server.port);
    let service = about_to_freeze(&world, &freezer);
    freezer.hold_new(true);
    freezer.freeze();
    service.wait_for_log("database unavailable");
    freezer.hold_new(false);
    service.wait_for_log(REPLACED);
    for _ in 0..20 {
        assert_eq!(pay(&service), 200);
    }
}

#[test]
fn a_payment_on_a_connection_that_fell_silent_fails_in_time_and_the_next_ones_succeed() {
    let world = World::new();
    let freezer = Freezer::start(world.server.port);
    let port = freezer.port.to_string();
    let service =
        world.start_with(&[("DATABASE_PORT", port.as_str()), ("DATABASE_TOTAL_SECONDS", "1")]).ready();
    // The first one may have to log in, which can take longer than that.
    eventually("a payment succeeds", || (pay(&service) == 200).then_some(()));
    freezer.freeze();
    assert_eq!(pay(&service), 503);
    eventually("a payment succeeds", || (pay(&service) == 200).then_some(()));
    // Nothing is left that a drain would have to wait for.
    service.signal("TERM");
    assert_eq!(service.end().code, Some(0));
}

#[test]
fn a_check_that_gets_no_answer_replaces_no_connection_that_does() {
    let world = World::new();
    let freezer = Freezer::start(world.server.port);
    let port = freezer.port.to_string();
    let service =
        world.start_with(&[("DATABASE_PORT", port.as_str()), ("DATABASE_MAX_CONNECTIONS", "1")]).ready();
    assert_eq!(pay(&service), 200);
    let paying = format!(
        "SELECT pid, client_port FROM pg_stat_activity WHERE usename = '{}' AND query LIKE 'INSERT%'",
        world.app
    );
    let before = world.sql(&paying);
    let (_, client_port) = before.split_once('|').unwrap();
    freezer.freeze_all_but(client_port.parse().unwrap());
    eventually("the check finds its own connection silent", || {
        assert_eq!(pay(&service), 200);
        service.log_text().contains(REPLACED).then_some(())
    });
    assert_eq!(pay(&service), 200);
    assert_eq!(world.sql(&paying), before);
}

#[test]
fn a_payment_is_repeated_when_its_connection_breaks() {
    let world = World::new();
    let service = world.start_with(&[("DATABASE_MAX_CONNECTIONS", "1")]).ready();
    let (payment, session) = world.blocked_payment(&service);
    world.disconnect();
    drop(session);
    assert_eq!(payment.reply().unwrap().status, 200);
    assert_eq!(world.sql("SELECT count(*) FROM payments.simulated_payments"), "1");
}

#[test]
fn connections_are_open_before_the_first_payment_and_again_after_a_failover() {
    let world = World::new();
    let start = now(&world);
    let _service = world.start();
    // Four for payments and one for the checks.
    eventually("connections are open", || (idle_connections(&world, &start) == 5).then_some(()));
    let failover = now(&world);
    world.disconnect();
    eventually("others are open", || (idle_connections(&world, &failover) == 5).then_some(()));
}

#[test]
fn a_pod_that_has_served_stays_ready_in_a_short_outage_and_asks_clients_to_retry() {
    let world = World::new();
    let service = world.start_with(&[("READINESS_GRACE_SECONDS", "600")]).ready();
    service.wait_until_warm();
    world.allow_connections(false);
    service.wait_for_log("database unavailable");
    assert_eq!(get(service.port, "/readyz").status, 200);
    let reply = get_with(service.port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]);
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert!(service.metrics().contains("database_up 0\n"));
}

#[test]
fn a_pod_that_has_never_served_is_not_ready_in_a_short_outage() {
    let world = World::empty();
    let service = world.start_with(&[("READINESS_GRACE_SECONDS", "600")]);
    service.wait_for_log("database unavailable");
    assert_eq!(get(service.port, "/readyz").status, 503);
}

#[test]
fn a_read_only_database_makes_the_service_unready_until_a_failover() {
    let world = World::new();
    let service = world.start().ready();
    let read_only = |value: &str| {
        let database = &world.database;
        // From another database: a session of this one could not turn it off again.
        let sql = format!("ALTER DATABASE {database} SET default_transaction_read_only = {value}");
        world.server.sql("postgres", &sql);
    };
    service.wait_until_warm();
    read_only("on");
    // Sessions keep the setting with which they started, as those to a former primary stay read-only.
    world.disconnect();
    service.wait_for_log("database is read-only");
    wait_for_status(&service, "/readyz", 503);
    assert_eq!(get(service.port, "/health").status, 200);
    let reply = get_with(service.port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]);
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert!(
        service.metrics().contains("database_up 1\n") && service.metrics().contains("database_writable 0\n")
    );

    read_only("off");
    wait_for_status(&service, "/readyz", 200);
    assert_eq!(pay(&service), 200);
}
