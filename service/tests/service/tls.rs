//! The database's certificate is verified.

use crate::support::{World, certificates, get, wait_for_status};

#[test]
fn a_certificate_of_another_authority_is_rejected() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    certificates::write(folder.path());
    let other = folder.path().join(certificates::AUTHORITY).display().to_string();
    let service = world.start_with(&[("DATABASE_CA_FILE", &other)]);
    assert_eq!(get(service.port, "/readyz").status, 503);
    let line = service.wait_for_log("database unavailable");
    assert!(line["reason"].as_str().unwrap().contains("certificate"), "{line}");
}

#[test]
fn migrate_does_not_retry_an_untrusted_certificate() {
    let world = World::empty();
    let ended = world.migrate_with(&[("DATABASE_DIRECT_HOST", "127.0.0.1")]);
    assert_eq!(ended.code, Some(4));
    assert!(!ended.logged("waiting for the database"));
    assert!(ended.logged("is not trusted") && ended.logged("DATABASE_CA_FILE"), "{:#?}", ended.log);
}

#[test]
fn a_certificate_of_another_host_is_rejected() {
    let world = World::new();
    let service = world.start_with(&[("DATABASE_HOST", "127.0.0.1")]);
    assert_eq!(get(service.port, "/readyz").status, 503);
    let line = service.wait_for_log("database unavailable");
    assert!(line["reason"].as_str().unwrap().contains("certificate"), "{line}");
}

#[test]
fn a_renewed_authority_needs_no_restart() {
    let world = World::new();
    let bundle = world.path().join("bundle.pem");
    std::fs::write(&bundle, "").unwrap();
    let service = world.start_with(&[("DATABASE_CA_FILE", &bundle.display().to_string())]);
    assert_eq!(get(service.port, "/readyz").status, 503);
    std::fs::copy(world.server.folder.join(certificates::AUTHORITY), &bundle).unwrap();
    wait_for_status(&service, "/readyz", 200);
}

#[test]
fn a_url_that_does_not_mention_tls_verifies_the_certificate() {
    let world = World::new();
    // The server's authority is not a public one.
    let service = world.start_with(&[("DATABASE_URL", &world.url("")), ("DATABASE_HOST", "")]);
    assert_eq!(get(service.port, "/readyz").status, 503);
    let line = service.wait_for_log("database unavailable");
    assert!(line["reason"].as_str().unwrap().contains("certificate"), "{line}");
}
