//! Captures, voids, refunds: what each state allows, and what happens at the same time.

use serde_json::{Value, json};

use crate::support::{Client, World, eventually};

#[track_caller]
fn after(client: &Client, id: &str, path: &str, body: &Value, status: u16) -> Value {
    let reply = client.post(&format!("/v1/payments/{id}/{path}"), body);
    assert_eq!(reply.status, status, "{reply:?}");
    client.get(&format!("/v1/payments/{id}")).json()
}

#[test]
fn an_authorization_is_captured_in_part_and_refunded_in_parts() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let id = client.authorize("pm_ok");
    let authorized = client.get(&format!("/v1/payments/{id}")).json();
    assert_eq!((&authorized["status"], &authorized["amount_captured"]), (&json!("authorized"), &json!(0)));
    assert!(authorized["authorized_until"].is_string());

    let captured = after(&client, &id, "capture", &json!({ "amount": 800 }), 200);
    assert_eq!((&captured["status"], &captured["amount_captured"]), (&json!("captured"), &json!(800)));
    let refunded = after(&client, &id, "refunds", &json!({ "amount": 300 }), 201);
    assert_eq!(
        (&refunded["status"], &refunded["amount_refunded"]),
        (&json!("partially_refunded"), &json!(300))
    );
    let too_much = client.post(&format!("/v1/payments/{id}/refunds"), &json!({ "amount": 501 }));
    assert_eq!((too_much.status, &too_much.json()["param"]), (422, &json!("amount")));
    let rest = after(&client, &id, "refunds", &json!({}), 201);
    assert_eq!((&rest["status"], &rest["amount_refunded"]), (&json!("refunded"), &json!(800)));

    let refunds = client.get(&format!("/v1/payments/{id}/refunds")).json();
    let amounts: Vec<_> =
        refunds["data"].as_array().unwrap().iter().map(|refund| &refund["amount"]).collect();
    assert_eq!(amounts, [300, 500]);
    let events = client.get(&format!("/v1/payments/{id}/events?limit=100")).json();
    let types: Vec<_> =
        events["data"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "payment.created",
            "payment.authorized",
            "capture.requested",
            "payment.captured",
            "refund.requested",
            "refund.succeeded",
            "refund.requested",
            "refund.succeeded",
        ]
    );
    let balance = "SELECT sum(CASE WHEN credit_account LIKE 'merchant:%' THEN amount ELSE -amount END) FROM payments.transfers";
    assert_eq!(world.sql(balance), "0");
}

#[test]
fn what_a_state_does_not_allow_is_a_conflict_and_changes_nothing() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let id = client.authorize("pm_ok");
    let voided = after(&client, &id, "void", &json!({}), 200);
    assert_eq!(voided["status"], "voided");
    for (path, body) in [("capture", json!({})), ("void", json!({})), ("refunds", json!({ "amount": 1 }))] {
        let refused = client.post(&format!("/v1/payments/{id}/{path}"), &body);
        assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("illegal_state")), "{path}");
    }
    assert_eq!(client.get(&format!("/v1/payments/{id}")).json(), voided);
    // A refused move leaves its key free.
    assert_eq!(world.sql("SELECT count(*) FROM payments.idempotency_keys"), "2");
}

#[test]
fn a_declined_move_leaves_the_payment_as_it_was() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let id = client.authorize("pm_later_declined");
    for path in ["capture", "void"] {
        let payment = after(&client, &id, path, &json!({}), 402);
        assert_eq!(payment["status"], "authorized", "{path}");
    }
    let captured = client.pay("pm_later_declined").json();
    let payment = after(&client, captured["id"].as_str().unwrap(), "refunds", &json!({ "amount": 10 }), 402);
    assert_eq!((&payment["status"], &payment["amount_refunding"]), (&json!("captured"), &json!(0)));
}

#[test]
fn a_move_for_another_version_is_refused() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let id = client.authorize("pm_ok");
    let capture = |key: &str, version: &str| {
        let headers = [("Idempotency-Key", key), ("If-Match", version)];
        client.post_with(&format!("/v1/payments/{id}/capture"), &json!({}), &headers)
    };
    for version in ["\"1\"", "\"3\"", "\"other\""] {
        let refused = capture("a", version);
        assert_eq!((refused.status, &refused.json()["code"]), (412, &json!("version_mismatch")), "{version}");
    }
    assert_eq!(capture("b", "3").status, 400);
    let captured = capture("c", "\"2\"");
    assert_eq!((captured.status, captured.header("etag")), (200, Some("\"4\"")));
}

#[test]
fn of_a_hundred_simultaneous_refunds_of_a_tenth_ten_succeed() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let id = client.pay("pm_ok").json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/payments/{id}/refunds");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let refunds: Vec<_> =
            (0..100).map(|_| scope.spawn(|| client.post(&path, &json!({ "amount": 100 })).status)).collect();
        refunds.into_iter().map(|refund| refund.join().unwrap()).collect()
    });
    let count = |wanted: &[u16]| statuses.iter().filter(|status| wanted.contains(status)).count();
    // One that comes when all is refunded is refused because of the state, one before that because of the amount.
    assert_eq!((count(&[201]), count(&[409, 422])), (10, 90), "{statuses:?}");
    let payment = client.get(&format!("/v1/payments/{id}")).json();
    assert_eq!((&payment["status"], &payment["amount_refunded"]), (&json!("refunded"), &json!(1000)));
    assert_eq!(world.sql("SELECT count(*), sum(amount) FROM payments.transfers"), "11|2000");
}

#[test]
fn an_authorization_that_nobody_captures_expires() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let id = client.authorize("pm_ok");
    world.sql("UPDATE payments.payments SET authorized_until = now()");
    let late = client.post(&format!("/v1/payments/{id}/capture"), &json!({}));
    assert_eq!(late.status, 409, "{late:?}");
    let expired = eventually("it has expired", || {
        let payment = client.get(&format!("/v1/payments/{id}")).json();
        (payment["status"] == "expired").then_some(payment)
    });
    assert_eq!(expired["version"], 3);
    assert_eq!(world.sql("SELECT type FROM payments.payment_events WHERE seq = 3"), "payment.expired");
}
