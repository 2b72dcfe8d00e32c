//! `payment-api migrate` against a database as RDS makes it: the master user is no superuser.

use std::process::Stdio;

use crate::support::world::{APP_PASSWORD, MASTER_PASSWORD, MIGRATOR_PASSWORD};
use crate::support::{World, free_port, process};

#[test]
fn it_makes_roles_schema_and_tables() {
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
fn the_application_may_work_in_the_schema_and_do_nothing_else() {
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
fn nobody_else_gets_into_the_database() {
    let world = World::new();
    let other = World::new();
    let error = world.server.sql_as(&other.app, APP_PASSWORD, &world.database, "SELECT 1").unwrap_err();
    assert!(error.contains("permission denied for database"), "{error}");
}

#[test]
fn a_changed_password_in_the_secret_is_put_in_force() {
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
fn what_was_changed_by_hand_is_put_right() {
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
fn two_at_once_take_turns() {
    let world = World::empty();
    let start = || {
        let mut command = process::command("migrate", &world.migrate_environment(&[]));
        command.stderr(Stdio::null()).spawn().unwrap()
    };
    let mut both = [start(), start()];
    for process in &mut both {
        assert!(process.wait().unwrap().success());
    }
}

#[test]
fn a_migration_that_does_not_end_is_not_waited_for_for_ever() {
    let world = World::new();
    let mut other = world.server.session(&world.database);
    other.run("SELECT pg_advisory_lock(x'7061796d656e7473'::bigint)");
    let ended = world.migrate_with(&[("MIGRATE_LOCK_SECONDS", "1")]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.says("waiting for another migration to end"));
    assert!(ended.says("another migration held its lock for 1s"));
}

#[test]
fn all_of_it_has_a_deadline() {
    let world = World::new();
    let mut other = world.server.session(&world.database);
    other.run("SELECT pg_advisory_lock(x'7061796d656e7473'::bigint)");
    let ended = world.migrate_with(&[("MIGRATE_TIMEOUT_SECONDS", "1")]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.says("not done after 1s (MIGRATE_TIMEOUT_SECONDS)"));
}

#[test]
fn an_older_release_leaves_a_newer_schema_alone() {
    let world = World::new();
    world.sql("INSERT INTO payments._sqlx_migrations VALUES (999, 'newer', now(), true, '\\x00', 1)");
    world.sql("CREATE TABLE payments.newer (id int)");
    let migrated = world.migrate();
    assert_eq!(migrated.code, Some(0), "{:#?}", migrated.log);
    assert!(migrated.says("table is unknown to this release"));
}

#[test]
fn every_table_of_this_release_has_its_privileges() {
    let world = World::new();
    assert!(!world.migrate().says("table is unknown to this release"));
}

#[test]
fn a_database_that_does_not_answer_is_waited_for_and_then_code_3() {
    let world = World::empty();
    let port = free_port().to_string();
    let ended = world.migrate_with(&[("DATABASE_PORT", &port), ("MIGRATE_WAIT_SECONDS", "1")]);
    assert_eq!(ended.code, Some(3));
    assert!(ended.says("waiting for the database"));
    assert!(ended.says(&format!("`localhost:{port}/{}` did not answer within 1s", world.database)));
}

#[test]
fn a_refused_master_is_code_4() {
    let world = World::empty();
    world.put_for_migrate("master", &world.master, "wrong");
    let ended = world.migrate_with(&[("MIGRATE_WAIT_SECONDS", "1")]);
    assert_eq!(ended.code, Some(4));
    assert!(ended.says(&format!("refuses to log in `{}`", world.master)), "{:#?}", ended.log);
}

#[test]
fn a_master_password_that_arrives_late_is_taken_up() {
    let world = World::empty();
    world.put_for_migrate("master", &world.master, "wrong");
    let log = world.path().join("migrate.log");
    let mut command = process::command("migrate", &world.migrate_environment(&[]));
    let mut migration = command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
    crate::support::eventually("it was refused", || {
        std::fs::read_to_string(&log).unwrap().contains("waiting for the database").then_some(())
    });
    world.put_for_migrate("master", &world.master, MASTER_PASSWORD);
    assert!(migration.wait().unwrap().success());
}

#[test]
fn missing_secrets_are_all_named_and_code_2() {
    let world = World::empty();
    for name in ["app-password", "migrator-username"] {
        std::fs::remove_file(world.migrate_secrets().join(name)).unwrap();
    }
    let ended = world.migrate();
    assert_eq!(ended.code, Some(2));
    assert!(ended.says("/app-password`") && ended.says("/migrator-username`"));
    assert_eq!(process::run("migrate", &[]).code, Some(2));
}
