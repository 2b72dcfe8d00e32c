//! What a payment leaves behind.

use serde_json::json;

use crate::support::client::payment;
use crate::support::{Client, World, eventually};

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
fn a_payment_is_finished_also_after_its_client_was_told_that_it_takes_too_long() {
    let world = World::new();
    let limits = [("REQUEST_TIMEOUT_SECONDS", "2"), ("PROVIDER_SECONDS", "1")];
    let (_service, client) = Client::start(&world, &limits);
    for setting in ["lock_timeout", "statement_timeout"] {
        world.sql(&format!("ALTER ROLE \"{}\" SET {setting} = '5min'", world.app));
    }
    world.disconnect();
    let mut session = world.server.session(&world.database);
    session.run("BEGIN; LOCK TABLE payments.transfers IN EXCLUSIVE MODE");
    let key = [("Idempotency-Key", "slow")];
    let reply = client.post_with("/v1/payments", &payment("pm_ok"), &key);
    assert_eq!((reply.status, &reply.json()["code"]), (503, &json!("timed_out")), "{reply:?}");
    drop(session);
    let status = "SELECT status FROM payments.payments";
    eventually("it is captured", || (world.sql(status) == "captured").then_some(()));
    assert_eq!(client.post_with("/v1/payments", &payment("pm_ok"), &key).status, 201);
}

#[test]
fn a_payment_that_todays_rules_would_refuse_is_still_listed_and_refunded() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let id = client.pay("pm_ok").json()["id"].as_str().unwrap().to_owned();
    // A currency that ISO 4217 has withdrawn, and a customer that is too long.
    world.sql("UPDATE payments.payments SET currency = 'HRK', customer = repeat('a', 300)");
    assert_eq!(client.get("/v1/payments").json()["data"][0]["currency"], "HRK");
    assert_eq!(client.post(&format!("/v1/payments/{id}/refunds"), &json!({})).status, 201);
}

#[test]
fn a_mistake_of_ours_is_no_outage_and_the_log_has_its_reason_without_the_row() {
    let world = World::new();
    let (service, client) = Client::start(&world, &[]);
    world.sql("ALTER TABLE payments.payments ADD CONSTRAINT odd CHECK (amount <> 1000)");
    let mut body = payment("pm_ok");
    body["customer"] = "Ana Pérez".into();
    let reply = client.post("/v1/payments", &body);
    assert_eq!((reply.status, &reply.json()["code"]), (500, &json!("internal")), "{reply:?}");
    assert_eq!(reply.header("retry-after"), None);
    let line = service.wait_for_log("odd");
    assert_eq!(line["request_id"].as_str(), reply.header("x-request-id"));
    assert!(!service.log_text().contains("Ana"), "{line}");
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
