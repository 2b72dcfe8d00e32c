//! Configuration by environment variables: required ones, defaults and wrong values.

use crate::support::world::API_KEY;
use crate::support::{World, get, get_with, process};

#[test]
fn a_missing_database_is_reported_first_and_exits_with_1() {
    let ended = process::run("serve", &[]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.messages()[0], "❌ DATABASE_URL environment variable is required");
    assert_eq!(ended.log[0]["level"], "ERROR");
}

#[test]
fn a_missing_api_key_is_reported_and_exits_with_1() {
    let world = World::empty();
    std::fs::remove_file(world.secrets().join("API_SECRET_KEY")).unwrap();
    let ended = process::run("serve", &world.environment(&[]));
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.messages()[0], "❌ API_SECRET_KEY environment variable is required");
    assert!(ended.logged("/secrets/API_SECRET_KEY`: No such file"));
}

#[test]
fn all_problems_are_reported_together() {
    let world = World::empty();
    std::fs::remove_file(world.secrets().join("DB_PASSWORD")).unwrap();
    let ended = process::run(
        "serve",
        &world.environment(&[
            ("PORT", "http"),
            ("DRAIN_SECONDS", "-1"),
            ("SIMULATE_LATENCY", "yes"),
            ("DATABASE_CA_FILE", "/nowhere.pem"),
        ]),
    );
    assert_eq!(ended.code, Some(1));
    for problem in [
        "/secrets/DB_PASSWORD`: No such file",
        "PORT must be a port number",
        "DRAIN_SECONDS must be a whole number of seconds",
        "SIMULATE_LATENCY must be legacy or off",
        "DATABASE_CA_FILE: failed to open `/nowhere.pem`",
    ] {
        assert!(ended.logged(problem), "{problem}: {:?}", ended.messages());
    }
}

#[test]
fn region_and_environment_have_defaults_and_a_warning() {
    let world = World::empty();
    let service = world.start_with(&[("REGION", ""), ("ENVIRONMENT", "")]);
    service.wait_for_log("⚠️  REGION not set, defaulting to 'unknown'");
    service.wait_for_log("⚠️  ENVIRONMENT not set, defaulting to 'dev'");
    let info = get(service.port, "/info").body;
    assert!(info.contains("\"region\":\"unknown\",\"environment\":\"dev\""), "{info}");
}

#[test]
fn the_legacy_variables_are_sufficient() {
    let world = World::new();
    let authority = world.server.folder.join("ca.crt");
    let url = world.url(&format!("?sslmode=verify-full&sslrootcert={}", authority.display()));
    let service = world
        .start_with(&[
            ("DATABASE_URL", &url),
            ("API_SECRET_KEY", API_KEY),
            ("DATABASE_HOST", ""),
            ("SECRETS_DIR", "/nowhere"),
        ])
        .ready();
    assert_eq!(get_with(service.port, "/api/payment/simulate", &[("X-API-Key", API_KEY)]).status, 200);
}

#[test]
fn the_error_names_a_port_that_is_in_use() {
    let world = World::empty();
    let service = world.start();
    let ended = process::run("serve", &world.environment(&[("PORT", &service.port.to_string())]));
    assert_eq!(ended.code, Some(1));
    assert!(ended.logged(&format!("❌ Server failed: failed to listen on port {}", service.port)));
}

#[test]
fn the_version_needs_no_configuration() {
    let output = process::command("--version", &[]).output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("payment-api 1.0.0 ("));
}
