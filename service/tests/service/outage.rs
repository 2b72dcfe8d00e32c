//! What clients notice when connections to the database break or fall silent.

use crate::support::freezer::Freezer;
use crate::support::world::API_KEY;
use crate::support::{Service, World, eventually, get, get_with, wait_for_status};

fn pay(service: &Service) -> u16 {
    get_with(service.port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]).status
}

/// Connections of the application that wait for a statement, as PostgreSQL sees them.
fn idle_connections(world: &World) -> u32 {
    let idle =
        format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND state = 'idle'", world.app);
    world.sql(&idle).parse().unwrap()
}

#[test]
fn payments_continue_when_open_connections_fall_silent() {
    let world = World::new();
    let freezer = Freezer::start(world.server.port);
    let changes = [("DATABASE_PORT", freezer.port.to_string()), ("DATABASE_ANSWER_SECONDS", "6".to_owned())];
    let changes = changes.each_ref().map(|(name, value)| (*name, value.as_str()));
    let service = world.start_with(&changes).ready();
    assert_eq!(pay(&service), 200);
    freezer.freeze();
    eventually("a payment succeeds", || (pay(&service) == 200).then_some(()));
    wait_for_status(&service, "/readyz", 200);
    // No connection from before is left, so none of these waits for one.
    service.wait_for_log("open database connections are no longer usable, replacing them");
    for _ in 0..20 {
        assert_eq!(pay(&service), 200);
    }
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
    let _service = world.start();
    // Four for payments and one for the checks.
    eventually("connections are open", || (idle_connections(&world) == 5).then_some(()));
    world.disconnect();
    eventually("connections are open again", || (idle_connections(&world) == 5).then_some(()));
}

#[test]
fn a_pod_that_has_served_stays_ready_in_a_short_outage_and_asks_clients_to_retry() {
    let world = World::new();
    let service = world.start_with(&[("READINESS_GRACE_SECONDS", "600")]).ready();
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
