//! What a payment leaves behind.

use serde_json::json;

use crate::support::client::payment;
use crate::support::{Client, World};

#[test]
fn a_payment_is_captured_and_every_part_of_it_is_stored() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let body = json!({
        "amount": 1050, "currency": "MXN", "payment_method": "pm_ok", "customer": "Ana Pérez",
        "description": "Zapatos", "metadata": { "order": "17" }, "region": "eu-south-2",
    });
    let reply = client.post("/v1/payments", &body);
    assert_eq!(reply.status, 201, "{reply:?}");
    let mut created = reply.json();
    let id = created["id"].as_str().unwrap().to_owned();
    assert_eq!(reply.header("etag"), Some("\"2\""));
    assert_eq!(reply.header("location"), Some(&*format!("/v1/payments/{id}")));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(client.get(&format!("/v1/payments/{id}")).json(), created);
    for time in ["created_at", "updated_at"] {
        assert!(created[time].take().as_str().unwrap().starts_with("20"), "{created}");
    }
    assert_eq!(
        created,
        json!({
            "id": id, "object": "payment", "status": "captured", "amount": 1050, "amount_captured": 1050,
            "amount_refunded": 0, "amount_refunding": 0, "currency": "MXN", "capture": "automatic",
            "payment_method": "pm_ok", "customer": "Ana Pérez", "description": "Zapatos",
            "metadata": { "order": "17" }, "region": "eu-south-2", "failure": null, "authorized_until": null,
            "version": 2, "created_at": null, "updated_at": null,
        })
    );

    let events = client.get(&format!("/v1/payments/{id}/events"));
    let types: Vec<_> =
        events.json()["data"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect();
    assert_eq!(types, ["payment.created", "payment.captured"]);
    for personal in ["Ana", "Zapatos", "\"17\""] {
        assert!(!events.body.contains(personal), "{}", events.body);
    }
    let stored = |query: &str| world.sql(&format!("SELECT {query}"));
    assert_eq!(
        stored("debit_account, left(credit_account, 14), amount, currency FROM payments.transfers"),
        "clearing|merchant:acct_|1050|MXN"
    );
    assert_eq!(stored("kind, state, amount FROM payments.operations"), "charge|succeeded|1050");
    assert_eq!(stored("seq FROM payments.outbox"), "2");
    assert_eq!(stored("status FROM payments.idempotency_keys"), "201");
}

#[test]
fn a_declined_payment_is_a_problem_that_names_it_and_it_is_kept() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let reply = client.pay("pm_declined");
    assert_eq!((reply.status, reply.header("content-type")), (402, Some("application/problem+json")));
    let problem = reply.json();
    assert_eq!((&problem["code"], &problem["decline_code"]), (&json!("declined"), &json!("card_declined")));
    assert_eq!(problem["request_id"].as_str(), reply.header("x-request-id"));
    let kept = client.get(&format!("/v1/payments/{}", problem["payment"].as_str().unwrap())).json();
    assert_eq!((&kept["status"], &kept["failure"]), (&json!("failed"), &json!("card_declined")));
    assert_eq!(world.sql("SELECT count(*) FROM payments.transfers"), "0");
}

#[test]
fn a_payment_is_finished_also_if_its_client_goes_away() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    client.send("/v1/payments", &payment("pm_slow_5s"), &[("Idempotency-Key", "gone")]).reset();
    let status = "SELECT status FROM payments.payments";
    crate::support::eventually("it is captured", || (world.sql(status) == "captured").then_some(()));
}

#[test]
fn the_application_cannot_change_what_happened() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    assert_eq!(client.pay("pm_ok").status, 201);
    for table in ["payment_events", "transfers"] {
        for statement in [
            format!("UPDATE payments.{table} SET at = now()"),
            format!("DELETE FROM payments.{table}"),
            format!("TRUNCATE payments.{table} CASCADE"),
            format!("ALTER TABLE payments.{table} ADD COLUMN note text"),
        ] {
            let refused = world.as_app(&statement).unwrap_err();
            assert!(refused.contains("permission denied") || refused.contains("must be owner"), "{refused}");
        }
    }
    let owned = format!("SELECT count(*) FROM pg_class WHERE relowner = '\"{}\"'::regrole", world.app);
    assert_eq!(world.sql(&owned), "0");
}
