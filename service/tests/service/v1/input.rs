//! Requests that cannot be carried out: what is wrong, and where.

use serde_json::{Value, json};

use crate::support::client::payment;
use crate::support::{Client, World, http};

/// A payment with these fields changed.
fn with(changes: &Value) -> Value {
    let mut body = payment("pm_ok");
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[test]
fn every_unacceptable_field_is_named() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    for (changes, status, param) in [
        (json!({ "amount": 0 }), 422, "amount"),
        (json!({ "amount": -1 }), 422, "amount"),
        (json!({ "amount": 1_000_000_000_000_i64 }), 422, "amount"),
        (json!({ "amount": 10.5 }), 400, "amount"),
        (json!({ "amount": "10" }), 400, "amount"),
        (json!({ "amount": null }), 400, "amount"),
        (json!({ "currency": "eur" }), 422, "currency"),
        (json!({ "currency": "XAU" }), 422, "currency"),
        (json!({ "payment_method": "card" }), 422, "payment_method"),
        (json!({ "capture": "later" }), 400, "capture"),
        (json!({ "customer": "" }), 422, "customer"),
        (json!({ "description": "d".repeat(501) }), 422, "description"),
        (json!({ "metadata": { "": "x" } }), 422, "metadata"),
        (json!({ "metadata": { "x": 1 } }), 400, "metadata.x"),
        (json!({ "region": "us-east-1" }), 422, "region"),
        (json!({ "amuont": 1 }), 400, "amuont"),
    ] {
        let reply = client.post("/v1/payments", &with(&changes));
        assert_eq!((reply.status, &reply.json()["param"]), (status, &json!(param)), "{changes}: {reply:?}");
    }
    assert_eq!(world.sql("SELECT count(*) FROM payments.idempotency_keys"), "0");
}

#[test]
fn card_numbers_are_refused_and_appear_nowhere() {
    const CARD: &str = "4111 1111 1111 1111";
    let world = World::new();
    let (service, client) = Client::start(&world, &[("LOG_LEVEL", "debug")]);
    for (changes, param) in [
        (json!({ "customer": CARD }), "customer"),
        (json!({ "description": format!("paid with {CARD}") }), "description"),
        (json!({ "metadata": { "card": CARD } }), "metadata"),
        (json!({ "metadata": { CARD: "card" } }), "metadata"),
        (json!({ "payment_method": "4111111111111111" }), "payment_method"),
        (json!({ "region": CARD }), "region"),
    ] {
        let reply = client.post("/v1/payments", &with(&changes));
        assert_eq!(
            (reply.status, &reply.json()["code"]),
            (422, &json!("card_number")),
            "{changes}: {reply:?}"
        );
        assert_eq!(reply.json()["param"], param);
    }
    let keyed = client.post_with("/v1/payments", &payment("pm_ok"), &[("Idempotency-Key", CARD)]);
    assert_eq!((keyed.status, &keyed.json()["code"]), (422, &json!("card_number")));
    let named = client.post("/v1/payments", &json!({ "4111111111111111": 1 }));
    let typed = client.post("/v1/payments", &with(&json!({ "amount": "4111111111111111" })));
    let listed = client.get("/v1/payments?customer=4111111111111111");
    let headers =
        [("Authorization", &*format!("Bearer {}", client.key)), ("X-Request-Id", "4111111111111111")];
    let labelled = http::get_with(client.port, "/v1/payments", &headers);
    for reply in [&named, &typed, &listed, &labelled] {
        assert!(!format!("{reply:?}").contains("4111"), "{reply:?}");
    }
    assert_eq!((named.status, typed.status, listed.status, labelled.status), (400, 400, 422, 200));
    service.signal("TERM");
    let log = service.end().log;
    assert!(!log.iter().any(|line| line.to_string().contains("4111")), "{log:#?}");
}

#[test]
fn a_body_has_to_be_json_and_not_too_large() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let bearer = format!("Bearer {}", client.key);
    let send = |content: &str, body: &str| {
        let headers = [("Authorization", &*bearer), ("Content-Type", content), ("Idempotency-Key", "a")];
        http::send_with_body(client.port, "POST", "/v1/payments", &headers, body).unwrap().reply().unwrap()
    };
    let json = "application/json; charset=utf-8";
    for (content, body, status, code) in [
        ("text/plain", "{}", 415, "unsupported_media_type"),
        (json, "{", 400, "malformed_request"),
        (json, "[]", 400, "malformed_request"),
        (json, "{} {}", 400, "malformed_request"),
        (json, &format!("{{\"customer\": \"{}\"}}", "c".repeat(140_000)), 413, "body_too_large"),
    ] {
        let reply = send(content, body);
        assert_eq!((reply.status, &reply.json()["code"]), (status, &json!(code)), "{reply:?}");
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    }
}

#[test]
fn unknown_paths_methods_and_payments_are_problems() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let unknown = "/v1/payments/pay_019e1f4e5c3a7b6e9d350a4f3c1d2e5b";
    for path in ["/v1/other", unknown, "/v1/payments/1", &format!("{unknown}/events")] {
        let reply = client.get(path);
        assert_eq!((reply.status, &reply.json()["code"]), (404, &json!("not_found")), "{path}");
    }
    let bearer = format!("Bearer {}", client.key);
    let deleted = http::request(client.port, "DELETE", unknown, &[("Authorization", &bearer)]).unwrap();
    assert_eq!((deleted.status, &deleted.json()["code"]), (405, &json!("method_not_allowed")));
    assert_eq!(deleted.header("allow"), Some("GET,HEAD"));
}
