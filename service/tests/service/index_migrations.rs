//! Migrations that build an index while payments go on. No release contains one yet, so these tests bring their own.

use payment_api::testing::{Connection, Endpoint, Migration, apply_pending};

use crate::support::world::{API_KEY, MIGRATOR_PASSWORD};
use crate::support::{DEADLINE, World, certificates, eventually, get_with};

const INDEX: Migration = Migration {
    version: 900,
    description: "an index",
    sql: "-- phase: expand\n-- transaction: none\n\
          DROP INDEX CONCURRENTLY IF EXISTS payments.by_region;\n\
          CREATE INDEX CONCURRENTLY by_region ON payments.simulated_payments (region);\n",
};
const IS_VALID: &str = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'payments.by_region'::regclass";

#[tokio::main(flavor = "current_thread")]
async fn apply(world: &World) -> Result<(), String> {
    let authority = world.server.folder.join(certificates::AUTHORITY);
    let url =
        world.url_of(&world.migrator, MIGRATOR_PASSWORD, &format!("?sslrootcert={}", authority.display()));
    let endpoint = Endpoint::of_url(&url).unwrap();
    let owner = Connection::open(&endpoint, None, DEADLINE).await.unwrap();
    apply_pending(&owner, &[INDEX]).await.map_err(|error| error.to_string())
}

#[test]
fn an_index_is_built_without_locking_out_payments() {
    let world = World::new();
    let service = world.start().ready();
    let pay = || get_with(service.port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]).status;
    std::thread::scope(|scope| {
        // A transaction that takes longer than the two seconds for which the migrator waits for other locks. In here, so that
        // a failure ends it: the build waits for it, and the scope for the build.
        let mut older = world.server.session(&world.database);
        older.run(
            "BEGIN; INSERT INTO payments.simulated_payments VALUES (gen_random_uuid(), 'a', 'approved')",
        );
        let build = scope.spawn(|| apply(&world));
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                     AND query LIKE 'CREATE INDEX%' AND wait_event_type = 'Lock' AND now() - query_start > '2500ms'";
        eventually("the build waits", || {
            assert_eq!(pay(), 200);
            assert!(!build.is_finished(), "the build has ended");
            (world.sql(waits) == "1").then_some(())
        });
        assert_eq!(pay(), 200);
        older.run("COMMIT");
        build.join().unwrap().unwrap();
    });
    assert_eq!(world.sql(IS_VALID), "t");
    assert_eq!(
        world.sql("SELECT description, success FROM payments._sqlx_migrations WHERE version = 900"),
        "an index|t"
    );
    // Recorded, so it is not applied again.
    world.sql("DROP INDEX payments.by_region");
    apply(&world).unwrap();
    assert_eq!(world.sql("SELECT to_regclass('payments.by_region') IS NULL"), "t");
}

#[test]
fn an_index_whose_build_was_interrupted_is_built_again() {
    let world = World::new();
    // Two equal values fail the build of a unique index, which leaves it behind as one that was interrupted does.
    world.sql(
        "INSERT INTO payments.simulated_payments (id, region, status)
         VALUES (gen_random_uuid(), 'a', 'approved'), (gen_random_uuid(), 'a', 'approved')",
    );
    let build = "CREATE UNIQUE INDEX CONCURRENTLY by_region ON payments.simulated_payments (region)";
    let user = world.server.sql_as(&world.migrator, MIGRATOR_PASSWORD, &world.database, build);
    assert!(user.unwrap_err().contains("could not create unique index"));
    assert_eq!(world.sql(IS_VALID), "f");
    apply(&world).unwrap();
    assert_eq!(world.sql(IS_VALID), "t");
}

#[test]
fn a_changed_migration_is_refused() {
    let world = World::new();
    apply(&world).unwrap();
    world.sql("UPDATE payments._sqlx_migrations SET checksum = '\\x00' WHERE version = 900");
    let error = apply(&world).unwrap_err();
    assert_eq!(
        error,
        "migration 900 was applied with other contents: its file was changed after its release"
    );
}
