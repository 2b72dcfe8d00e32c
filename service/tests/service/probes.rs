//! `/livez`, `/readyz`, `/startupz` and the effect of a database outage on each.

use crate::support::world::API_KEY;
use crate::support::{World, eventually, get, get_with, wait_for_status};

#[test]
fn a_database_outage_makes_the_service_unready_but_not_dead_until_it_ends() {
    let world = World::new();
    let service = world.start().ready();
    service.wait_until_warm();
    world.allow_connections(false);
    wait_for_status(&service, "/readyz", 503);
    assert_eq!(get(service.port, "/livez").status, 200);
    assert_eq!(get(service.port, "/startupz").status, 200);
    let verbose = get(service.port, "/readyz?verbose").body;
    assert_eq!(verbose, "[-]database failed\n[+]admission ok\n[+]shutdown ok\nreadyz check failed\n");
    service.wait_for_log("database unavailable");

    let response = get_with(service.port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]);
    assert_eq!((response.status, response.body.as_str()), (503, "{\"error\": \"Database unavailable\"}\n"));
    assert_eq!(response.header("retry-after"), Some("1"));

    world.allow_connections(true);
    wait_for_status(&service, "/readyz", 200);
    assert_eq!(get_with(service.port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]).status, 200);
}

#[test]
fn health_stays_200_in_an_outage_and_names_the_database() {
    let world = World::empty();
    let service = world.start();
    let reply = get(service.port, "/health");
    assert_eq!(reply.status, 200);
    assert!(reply.body.contains("\"status\":\"healthy\""), "{}", reply.body);
    assert!(reply.body.contains("\"database\":\"unavailable\""), "{}", reply.body);
}

#[test]
fn health_is_degraded_in_an_outage_if_configured() {
    let world = World::empty();
    let service = world.start_with(&[("HEALTH_WITH_DATABASE", "true")]);
    let reply = get(service.port, "/health");
    assert_eq!(reply.status, 503);
    assert!(reply.body.contains("\"status\":\"degraded\""), "{}", reply.body);
}

#[test]
fn startup_is_complete_once_the_schema_exists() {
    let world = World::empty();
    let service = world.start();
    assert_eq!(get(service.port, "/startupz").status, 503);
    assert_eq!(get(service.port, "/livez").status, 200);
    assert_eq!(world.migrate().code, Some(0));
    wait_for_status(&service, "/startupz", 200);
}

#[test]
fn verbose_lists_the_checks_that_passed() {
    let world = World::new();
    let service = world.start().ready();
    assert_eq!(get(service.port, "/readyz").body, "ok");
    assert_eq!(
        get(service.port, "/readyz?verbose").body,
        "[+]database ok\n[+]admission ok\n[+]shutdown ok\nreadyz check passed\n"
    );
    assert_eq!(get(service.port, "/livez?verbose").body, "livez check passed\n");
}

#[test]
fn a_busy_service_is_still_ready() {
    let world = World::new();
    let service = world.start_with(&[("DATABASE_MAX_CONNECTIONS", "1")]).ready();
    let (payment, session) = world.blocked_payment(&service);
    let since = world.sql("SELECT clock_timestamp()");
    let probed = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%LIMIT 0)' AND query_start > '{since}'"
    );
    eventually("the database was probed again", || {
        assert_eq!(get(service.port, "/readyz").status, 200);
        (world.sql(&probed) != "0").then_some(())
    });
    drop(session);
    assert_eq!(payment.reply().unwrap().status, 200);
}

#[test]
fn probes_are_not_counted_as_requests() {
    let world = World::new();
    let service = world.start().ready();
    for path in ["/livez", "/readyz", "/startupz"] {
        for port in [service.port, service.metrics_port] {
            assert_eq!(get(port, path).status, 200, "{path}");
        }
    }
    assert!(!service.metrics().contains("z\",method=\"GET\""), "{}", service.metrics());
}
