//! Payments stay in their region's database.

use crate::support::client::payment;
use crate::support::{Client, World, eventually, get};

#[test]
fn a_service_refuses_the_database_of_another_region() {
    let world = World::new();
    let service = world.start_with(&[("REGION", "us-east-1")]);
    let port = service.port;
    let ended = service.end();
    assert_eq!(ended.code, Some(1), "{:#?}", ended.log);
    assert!(ended.logged("the database holds the payments of `eu-south-2`"), "{:#?}", ended.log);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_service_of_another_region_touches_no_payment_before_it_ends() {
    let world = World::new();
    let (service, client) = Client::start(&world, &[]);
    let _pending = client.send("/v1/payments", &payment("pm_slow_5s"), &[("Idempotency-Key", "a")]);
    let operation = "SELECT state, checks FROM payments.operations";
    eventually("it has begun", || (world.sql(operation) == "pending|0").then_some(()));
    // SIGKILL.
    drop(service);
    world.sql("UPDATE payments.operations SET check_at = now() - interval '1 hour'");
    // It drains for longer than unanswered operations ever wait to be looked up.
    let foreign = world.start_with(&[("REGION", "us-east-1"), ("DRAIN_SECONDS", "3")]);
    let client = Client { port: foreign.port, key: client.key };
    assert_eq!(client.get("/v1/payments").status, 503);
    assert_eq!(foreign.end().code, Some(1));
    assert_eq!(world.sql(operation), "pending|0");
}

#[test]
fn payments_wait_for_a_migration_that_names_the_region_and_the_legacy_routes_do_not() {
    let world = World::empty();
    assert_eq!(world.migrate_with(&[("REGION", "")]).code, Some(0));
    let key = world.new_key("shop");
    let service = world.start().ready();
    let client = Client { port: service.port, key };
    service.wait_for_log(
        "the database has no region yet, so /v1 is closed: run `payment-api migrate` with REGION",
    );
    assert_eq!(client.get("/v1/payments").status, 503);
    assert_eq!(get(service.port, "/health").status, 200);
    assert_eq!(world.migrate().code, Some(0));
    eventually("/v1 is open", || (client.get("/v1/payments").status == 200).then_some(()));
}

#[test]
fn a_service_is_not_ready_before_it_knows_the_databases_region() {
    let world = World::empty();
    let service = world.start();
    let verbose = get(service.port, "/readyz?verbose");
    assert_eq!(verbose.status, 503);
    assert!(verbose.body.contains("[-]admission failed"), "{verbose:?}");
    assert_eq!(world.migrate().code, Some(0));
    service.ready();
}

#[test]
fn a_migration_refuses_the_database_of_another_region() {
    let world = World::new();
    let migrated = world.migrate_with(&[("REGION", "us-east-1")]);
    assert_eq!(migrated.code, Some(2), "{:#?}", migrated.log);
    assert!(migrated.logged("the database holds the payments of `eu-south-2`"));
    assert_eq!(world.sql("SELECT region FROM payments.residency"), "eu-south-2");
    // Without a region, it leaves it alone.
    assert_eq!(world.migrate_with(&[("REGION", "")]).code, Some(0));
}
