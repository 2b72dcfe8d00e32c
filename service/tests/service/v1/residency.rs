//! Payments stay in their region's database.

use crate::support::{World, get};

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
