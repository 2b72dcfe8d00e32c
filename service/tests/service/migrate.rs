//! `payment-api migrate` against a database as RDS creates it: the master user is not a superuser.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::support::postgres::Session;
use crate::support::world::{APP_PASSWORD, MASTER_PASSWORD, MIGRATOR_PASSWORD};
use crate::support::{World, eventually, free_port, process};

#[test]
fn it_creates_roles_schema_and_tables() {
    let world = World::empty();
    let migrated = world.migrate();
    assert_eq!(migrated.code, Some(0), "{:#?}", migrated.log);
    let owners = "SELECT nspowner::regrole, relowner::regrole FROM pg_class JOIN pg_namespace n ON relnamespace = n.oid \
                  WHERE relname = 'simulated_payments'";
    assert_eq!(world.sql(owners), format!("\"{0}\"|\"{0}\"", world.migrator));
    let attributes = "SELECT bool_or(rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls) \
                      FROM pg_roles WHERE rolname IN";
    assert_eq!(world.sql(&format!("{attributes} ('{}', '{}')", world.migrator, world.app)), "f");
    assert_eq!(world.sql(&format!("SELECT rolsuper FROM pg_roles WHERE rolname = '{}'", world.master)), "f");
}

#[test]
fn a_second_run_changes_nothing() {
    let world = World::new();
    let state = "SELECT (SELECT jsonb_agg(to_jsonb(a) ORDER BY rolname) FROM pg_authid a), \
                 (SELECT jsonb_agg(to_jsonb(m) ORDER BY version) FROM payments._sqlx_migrations m), \
                 (SELECT jsonb_agg(relacl::text ORDER BY oid) FROM pg_class), \
                 (SELECT jsonb_agg(nspacl::text ORDER BY oid) FROM pg_namespace)";
    let own = |state: &str| {
        state.replace(
            "FROM pg_authid a)",
            &format!("FROM pg_authid a WHERE rolname IN ('{}', '{}'))", world.app, world.migrator),
        )
    };
    let before = world.sql(&own(state));
    let again = world.migrate();
    assert_eq!(again.code, Some(0));
    assert_eq!(again.messages(), ["schema is up to date", "database is ready"]);
    assert_eq!(world.sql(&own(state)), before);
}

#[test]
fn the_application_may_only_read_and_write_the_schemas_data() {
    let world = World::new();
    let app = |sql: &str| world.server.sql_as(&world.app, APP_PASSWORD, &world.database, sql);
    assert_eq!(app("SELECT count(*) FROM payments.simulated_payments").unwrap(), "0");
    for forbidden in [
        "CREATE TABLE payments.mine (id int)",
        "CREATE TABLE public.mine (id int)",
        "CREATE TEMPORARY TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "DROP TABLE payments.simulated_payments",
        "TRUNCATE payments.simulated_payments",
        "UPDATE payments._sqlx_migrations SET success = false",
        "DELETE FROM payments._sqlx_migrations",
        "CREATE ROLE mine",
    ] {
        let error = app(forbidden).unwrap_err();
        assert!(
            error.contains("permission denied") || error.contains("must be owner"),
            "{forbidden}: {error}"
        );
    }
    assert_eq!(app("SHOW statement_timeout").unwrap(), "5s");
    assert_eq!(app("SHOW lock_timeout").unwrap(), "2s");
    assert_eq!(app("SHOW idle_in_transaction_session_timeout").unwrap(), "10s");
}

#[test]
fn other_roles_cannot_connect_to_the_database() {
    let world = World::new();
    let other = World::new();
    let error = world.server.sql_as(&other.app, APP_PASSWORD, &world.database, "SELECT 1").unwrap_err();
    assert!(error.contains("permission denied for database"), "{error}");
}

#[test]
fn a_changed_password_in_the_secret_takes_effect() {
    let world = World::new();
    world.put_for_migrate("app", &world.app, "new-app-password");
    world.put_for_migrate("migrator", &world.migrator, "new-migrator-password");
    let migrated = world.migrate();
    assert_eq!(migrated.code, Some(0));
    let changed = migrated.log.iter().filter(|line| line["message"] == "password changed");
    assert_eq!(changed.count(), 2);
    let login = |user: &str, password: &str| world.server.sql_as(user, password, &world.database, "SELECT 1");
    assert!(login(&world.app, "new-app-password").is_ok() && login(&world.app, APP_PASSWORD).is_err());
    assert!(login(&world.migrator, "new-migrator-password").is_ok());
    assert!(login(&world.migrator, MIGRATOR_PASSWORD).is_err());
}

#[test]
fn manual_changes_are_reverted() {
    let world = World::new();
    world.sql(&format!("ALTER ROLE \"{}\" NOLOGIN", world.app));
    world.sql(&format!("ALTER ROLE \"{}\" SET statement_timeout = 0", world.app));
    world.sql(&format!("GRANT ALL ON payments._sqlx_migrations TO \"{}\"", world.app));
    world.sql("GRANT ALL ON SCHEMA public TO PUBLIC");
    assert_eq!(world.migrate().code, Some(0));
    let app = |sql: &str| world.server.sql_as(&world.app, APP_PASSWORD, &world.database, sql);
    assert_eq!(app("SHOW statement_timeout").unwrap(), "5s");
    assert!(app("DELETE FROM payments._sqlx_migrations").is_err());
    assert!(app("CREATE TABLE public.mine (id int)").is_err());
}

#[test]
fn concurrent_migrations_take_turns() {
    let world = World::new();
    let blocker = block_migrations(&world);
    let mut first = start(&world);
    waits(&world);
    let mut second = start(&world);
    let mut lines = BufReader::new(second.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("waiting for another migration to finish")));
    drop(blocker);
    assert!(first.wait().unwrap().success());
    assert!(lines.any(|line| line.unwrap().contains("database is ready")));
    assert!(second.wait().unwrap().success());
}

#[test]
fn a_migration_that_loses_its_lock_stops() {
    let world = World::new();
    let _blocker = block_migrations(&world);
    let migration = start(&world);
    waits(&world);
    let session = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{}'",
        world.master
    );
    assert_eq!(world.sql(&session), "1");
    let ended = migration.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let log = String::from_utf8(ended.stderr).unwrap();
    assert!(log.contains("the session that held the migration lock has ended"), "{log}");
}

fn start(world: &World) -> Child {
    let mut command = process::command("migrate", &world.migrate_environment(&[]));
    command.stderr(Stdio::piped()).spawn().unwrap()
}

/// Makes the first migration pending, and keeps it from being recorded until the session is dropped.
fn block_migrations(world: &World) -> Session {
    world.sql("DROP TABLE payments.simulated_payments");
    world.sql("DELETE FROM payments._sqlx_migrations WHERE version = 1");
    let mut session = world.server.session(&world.database);
    session
        .run("BEGIN; INSERT INTO payments._sqlx_migrations VALUES (1, 'blocked', now(), true, '\\x00', 1)");
    session
}

fn waits(world: &World) {
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND wait_event_type = 'Lock'",
        world.migrator
    );
    eventually("the migration waits", || (world.sql(&waiting) == "1").then_some(()));
}

#[test]
fn waiting_for_another_migration_times_out() {
    let world = World::new();
    let mut other = world.server.session(&world.database);
    other.run("SELECT pg_advisory_lock(x'7061796d656e7473'::bigint)");
    let ended = world.migrate_with(&[("MIGRATE_LOCK_SECONDS", "1")]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.logged("waiting for another migration to finish"));
    assert!(ended.logged("another migration has held the lock for 1s"));
}

#[test]
fn the_whole_migration_has_a_deadline() {
    let world = World::new();
    let mut other = world.server.session(&world.database);
    other.run("SELECT pg_advisory_lock(x'7061796d656e7473'::bigint)");
    let ended = world.migrate_with(&[("MIGRATE_TIMEOUT_SECONDS", "1")]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.logged("timed out after 1s (MIGRATE_TIMEOUT_SECONDS)"));
}

#[test]
fn an_older_release_leaves_a_newer_schema_alone() {
    let world = World::new();
    world.sql("INSERT INTO payments._sqlx_migrations VALUES (999, 'newer', now(), true, '\\x00', 1)");
    world.sql("CREATE TABLE payments.newer (id int)");
    let migrated = world.migrate();
    assert_eq!(migrated.code, Some(0), "{:#?}", migrated.log);
    assert!(migrated.logged("this release does not know the table"));
}

#[test]
fn every_table_of_this_release_has_its_privileges() {
    let world = World::new();
    assert!(!world.migrate().logged("this release does not know the table"));
}

#[test]
fn it_waits_for_an_unreachable_database_and_then_exits_with_3() {
    let world = World::empty();
    let port = free_port().to_string();
    let ended = world.migrate_with(&[("DATABASE_PORT", &port), ("MIGRATE_WAIT_SECONDS", "1")]);
    assert_eq!(ended.code, Some(3));
    assert!(ended.logged("waiting for the database"));
    assert!(ended.logged(&format!("`localhost:{port}/{}` did not answer within 1s", world.database)));
}

#[test]
fn a_rejected_master_login_exits_with_4() {
    let world = World::empty();
    world.put_for_migrate("master", &world.master, "wrong");
    let ended = world.migrate_with(&[("MIGRATE_WAIT_SECONDS", "1")]);
    assert_eq!(ended.code, Some(4));
    assert!(ended.logged(&format!("rejected the login of `{}`", world.master)), "{:#?}", ended.log);
}

#[test]
fn a_master_password_that_arrives_late_is_used() {
    let world = World::empty();
    world.put_for_migrate("master", &world.master, "wrong");
    let log = world.path().join("migrate.log");
    let mut command = process::command("migrate", &world.migrate_environment(&[]));
    let mut migration = command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
    eventually("the login was rejected", || {
        std::fs::read_to_string(&log).unwrap().contains("waiting for the database").then_some(())
    });
    world.put_for_migrate("master", &world.master, MASTER_PASSWORD);
    assert!(migration.wait().unwrap().success());
}

#[test]
fn all_missing_secrets_are_named_and_it_exits_with_2() {
    let world = World::empty();
    for name in ["app-password", "migrator-username"] {
        std::fs::remove_file(world.migrate_secrets().join(name)).unwrap();
    }
    let ended = world.migrate();
    assert_eq!(ended.code, Some(2));
    assert!(ended.logged("/app-password`") && ended.logged("/migrator-username`"));
    assert_eq!(process::run("migrate", &[]).code, Some(2));
}

#[test]
fn a_migration_whose_process_is_killed_stops_its_statement() {
    let world = World::empty();
    // Every CREATE TABLE waits, as a migration of a large table does.
    world.sql(
        "CREATE FUNCTION wait() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(600); END'; \
         CREATE EVENT TRIGGER wait ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION wait()",
    );
    let mut command = process::command("migrate", &world.migrate_environment(&[]));
    let mut migration = command.stderr(Stdio::null()).spawn().unwrap();
    let running = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND state = 'active'",
        world.migrator
    );
    eventually("the migration waits", || (world.sql(&running) == "1").then_some(()));
    migration.kill().unwrap();
    migration.wait().unwrap();
    eventually("its statement is stopped", || (world.sql(&running) == "0").then_some(()));
}
