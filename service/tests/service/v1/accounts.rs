//! API keys of accounts, as an operator makes and revokes them.

use serde_json::json;

use crate::support::client::payment;
use crate::support::{Client, World, eventually, get_with};

#[test]
fn a_request_without_a_valid_key_is_refused() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let headers: [&[(&str, &str)]; 5] = [
        &[],
        &[("Authorization", "Bearer")],
        &[("Authorization", "Bearer sk_wrong")],
        &[("Authorization", &client.key)],
        &[("X-API-Key", &client.key)],
    ];
    for headers in headers {
        let reply = get_with(client.port, "/v1/payments", headers);
        assert_eq!((reply.status, &reply.json()["code"]), (401, &json!("unauthenticated")), "{headers:?}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"payments\""));
    }
}

#[test]
fn a_key_may_do_only_what_its_scopes_say() {
    let world = World::new();
    let read = world.keys(&["create", "auditor", "--scope", "payments:read"]);
    let read = String::from_utf8(read.stdout).unwrap().trim_end().split_once(' ').unwrap().1.to_owned();
    let (_service, client) = Client::start(&world, &[]);
    let auditor = Client { port: client.port, key: read };
    assert_eq!(auditor.get("/v1/payments").status, 200);
    let refused = auditor.post("/v1/payments", &payment("pm_ok"));
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("insufficient_scope")));
    assert!(refused.body.contains("payments:write"), "{refused:?}");
    let wrong = world.keys(&["create", "auditor", "--scope", "payments"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("payments:read"));
}

#[test]
fn an_account_has_two_valid_keys_at_most_and_a_revoked_one_is_refused() {
    let world = World::new();
    let old = world.new_key("shop");
    let (_service, client) = Client::start(&world, &[]);
    let third = world.keys(&["create", "shop"]);
    assert_eq!(third.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&third.stderr).contains("two valid keys"), "{third:?}");

    let list = || String::from_utf8(world.keys(&["list"]).stdout).unwrap();
    let id = list().lines().next().unwrap().split(' ').nth(2).unwrap().to_owned();
    assert!(!list().contains("sk_"));
    let revoked = world.keys(&["revoke", &id]);
    assert_eq!(revoked.status.code(), Some(0), "{revoked:?}");
    assert!(list().lines().next().unwrap().contains(" revoked "), "{}", list());
    let old = Client { port: client.port, key: old };
    eventually("the old key is refused", || (old.get("/v1/payments").status == 401).then_some(()));
    assert_eq!(client.get("/v1/payments").status, 200);
    // Now there is room for the next one, which works without a restart.
    let next = Client { port: client.port, key: world.new_key("shop") };
    eventually("the new key is accepted", || (next.get("/v1/payments").status == 200).then_some(()));

    let unknown = world.keys(&["revoke", "key_019e1f4e5c3a7b6e9d350a4f3c1d2e5b"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(world.keys(&["create", " "]).status.code(), Some(1));
}

#[test]
fn no_key_is_stored_or_logged() {
    let world = World::new();
    let (service, client) = Client::start(&world, &[("LOG_LEVEL", "debug")]);
    client.pay("pm_ok");
    let secret = client.key.strip_prefix("sk_").unwrap();
    assert!(!service.log_text().contains(secret));
    assert!(!world.server.log().contains(secret));
    assert_eq!(world.sql("SELECT length(digest) FROM payments.api_keys"), "32");
}

#[test]
fn keys_are_not_trusted_for_longer_than_five_seconds_without_the_database() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    world.allow_connections(false);
    let reply = eventually("keys are no longer trusted", || {
        let reply = get_with(client.port, "/v1/payments", &[("Authorization", "Bearer sk_wrong")]);
        (reply.status == 503).then_some(reply)
    });
    assert_eq!((reply.header("retry-after"), &reply.json()["code"]), (Some("1"), &json!("unavailable")));
    world.allow_connections(true);
    eventually("keys are trusted again", || (client.get("/v1/payments").status == 200).then_some(()));
}
