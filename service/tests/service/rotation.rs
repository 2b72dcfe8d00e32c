//! The database password changes while the service runs.

use crate::support::world::API_KEY;
use crate::support::{Service, World, get_with, wait_for_status};

const NEW_PASSWORD: &str = "another-canary-app-password";

fn pay(service: &Service) -> u16 {
    get_with(service.port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]).status
}

#[test]
fn payments_continue_after_the_password_changed() {
    let world = World::new();
    let service = world.start().ready();
    assert_eq!(pay(&service), 200);
    world.put_for_migrate("app", &world.app, NEW_PASSWORD);
    let migrated = world.migrate();
    assert!(migrated.logged("password changed"), "{:#?}", migrated.log);
    world.put("DB_PASSWORD", NEW_PASSWORD);
    world.disconnect();
    // Immediately: the rejected login reloads the file, before the watcher does.
    assert_eq!(pay(&service), 200);
    service.wait_for_log("database credentials reloaded");
    wait_for_status(&service, "/readyz", 200);
}

#[test]
fn a_password_file_that_comes_later_than_the_password_ends_the_outage() {
    let world = World::new();
    let service = world.start().ready();
    service.wait_until_warm();
    world.sql(&format!("ALTER ROLE \"{}\" PASSWORD '{NEW_PASSWORD}'", world.app));
    world.disconnect();
    assert_eq!(pay(&service), 503);
    wait_for_status(&service, "/readyz", 503);
    world.put("DB_PASSWORD", NEW_PASSWORD);
    assert_eq!(pay(&service), 200);
    wait_for_status(&service, "/readyz", 200);
}

#[test]
fn a_new_user_name_takes_effect_as_well() {
    let world = World::new();
    let service = world.start().ready();
    let (old, new) = (world.app.clone(), format!("{}-next", world.app));
    world.put_for_migrate("app", &new, NEW_PASSWORD);
    let migrated = world.migrate();
    assert_eq!(migrated.code, Some(0), "{:#?}", migrated.log);
    world.put("DB_USERNAME", &new);
    world.put("DB_PASSWORD", NEW_PASSWORD);
    service.wait_for_log("database credentials reloaded");
    service.wait_until_warm();
    world.sql(&format!("ALTER ROLE \"{old}\" NOLOGIN"));
    world.disconnect();
    assert_eq!(pay(&service), 200);
}
