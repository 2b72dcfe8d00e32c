//! What happened can be verified, and what is personal can be erased from it.

use serde_json::json;

use crate::support::client::payment;
use crate::support::{Client, World, eventually};

/// The exit code and the output of `verify-events`.
fn verify(world: &World, arguments: &[&str]) -> (Option<i32>, String) {
    let output = world.command("verify-events", arguments);
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// A world with three payments, of which the second one is refunded, and all of their events sealed. The ids of the
/// payments, and the seal as it was logged.
fn sealed(world: &World) -> (Vec<String>, String) {
    let (service, client) = Client::start(world, &[]);
    let mut pay = |_| client.pay("pm_ok").json()["id"].as_str().unwrap().to_owned();
    let ids: Vec<String> = (0..3).map(&mut pay).collect();
    assert_eq!(client.post(&format!("/v1/payments/{}/refunds", ids[1]), &json!({ "amount": 1 })).status, 201);
    // Instead of waiting until they are a minute old.
    world.sql("UPDATE payments.payment_events SET recorded_at = now() - interval '1 hour'");
    let line = service.wait_for_log("events sealed");
    (ids, line["seal"].as_str().unwrap().to_owned())
}

fn uuid(id: &str) -> &str {
    id.strip_prefix("pay_").unwrap()
}

#[test]
fn untouched_events_verify_before_and_after_they_are_sealed() {
    let world = World::new();
    assert_eq!(verify(&world, &[]), (Some(0), "0 payments, 0 events, 0 findings, no seal\n".to_owned()));
    let (_, seal) = sealed(&world);
    assert_eq!(world.sql("SELECT count(*), max(length(entries)) FROM payments.event_seals"), "1|416");
    let expected = format!("3 payments, 8 events, 0 findings, last seal {seal}\n");
    assert_eq!(verify(&world, &["--anchor", &seal]), (Some(0), expected));
}

#[test]
fn an_event_that_was_edited_is_named() {
    let world = World::new();
    let (ids, _) = sealed(&world);
    let id = &ids[1];
    world.sql(&format!(
        "UPDATE payments.payment_events SET data = replace(data, '1000', '9999') WHERE payment_id = '{}' AND seq = 2",
        uuid(id)
    ));
    let (code, text) = verify(&world, &[]);
    assert_eq!(code, Some(4), "{text}");
    assert!(
        text.starts_with(&format!("event 2 of {id} was edited\n3 payments, 8 events, 1 findings")),
        "{text}"
    );
}

#[test]
fn a_last_event_that_was_removed_is_named_also_if_the_payment_was_rewritten() {
    let world = World::new();
    let (ids, _) = sealed(&world);
    let id = &ids[1];
    world.sql(&format!("DELETE FROM payments.payment_events WHERE payment_id = '{}' AND seq = 4", uuid(id)));
    let finding = format!("event 4 of {id} was removed\n");
    assert!(verify(&world, &[]).1.starts_with(&finding));
    world.sql(&format!(
        "UPDATE payments.payments SET version = 3, head = (SELECT hash FROM payments.payment_events
             WHERE payment_id = payments.id AND seq = 3) WHERE id = '{}'",
        uuid(id)
    ));
    let (code, text) = verify(&world, &[]);
    assert_eq!(code, Some(4));
    assert!(text.starts_with(&finding), "{text}");
}

#[test]
fn a_payment_that_was_removed_with_everything_is_named() {
    let world = World::new();
    let (ids, _) = sealed(&world);
    let id = &ids[2];
    for table in ["transfers", "operations", "payment_events"] {
        world.sql(&format!("DELETE FROM payments.{table} WHERE payment_id = '{}'", uuid(id)));
    }
    world.sql(&format!("DELETE FROM payments.payments WHERE id = '{}'", uuid(id)));
    let (code, text) = verify(&world, &[]);
    assert_eq!(code, Some(4));
    assert!(text.starts_with(&format!("{id} was removed\n2 payments, 6 events, 1 findings")), "{text}");
}

#[test]
fn a_seal_that_was_removed_is_found_with_the_one_from_the_log() {
    let world = World::new();
    let (_, seal) = sealed(&world);
    world.sql("DELETE FROM payments.event_seals");
    assert_eq!(verify(&world, &[]).0, Some(0));
    let (code, text) = verify(&world, &["--anchor", &seal]);
    assert_eq!((code, text.lines().next()), (Some(4), Some("seal 1 was removed")));
    assert_eq!(verify(&world, &["--anchor", "1"]).0, Some(2));
}

#[test]
fn a_customers_data_are_erased_everywhere_and_the_events_still_verify() {
    let world = World::new();
    let other = world.new_key("another shop");
    let (service, client) = Client::start(&world, &[]);
    let mut body = payment("pm_ok");
    body["customer"] = "Ana Pérez".into();
    body["description"] = "size 38".into();
    body["metadata"] = json!({ "phone": "555-0100" });
    let key = [("Idempotency-Key", "a")];
    let id = client.post_with("/v1/payments", &body, &key).json()["id"].as_str().unwrap().to_owned();
    client.post(&format!("/v1/payments/{id}/refunds"), &json!({ "amount": 1 }));
    let kept = client.pay("pm_ok").json();
    Client { port: client.port, key: other }.post("/v1/payments", &body);

    let ambiguous = world.command("erase", &["Ana Pérez"]);
    assert_eq!(ambiguous.status.code(), Some(1));
    let error = String::from_utf8_lossy(&ambiguous.stderr).into_owned();
    assert!(error.contains("another shop, shop") && error.contains("--account"), "{error}");
    let erased = world.command("erase", &["Ana Pérez", "--account", "shop"]);
    assert_eq!(
        (erased.status.code(), &*String::from_utf8_lossy(&erased.stdout)),
        (Some(0), "1 payments erased\n")
    );
    assert_eq!(world.command("erase", &["Ana Pérez", "--account", "shop"]).status.code(), Some(1));

    let payment = client.get(&format!("/v1/payments/{id}"));
    assert_eq!((&payment.json()["customer"], &payment.json()["metadata"]), (&json!(null), &json!({})));
    assert_eq!(payment.json()["amount_refunded"], 1);
    let repeated = client.post_with("/v1/payments", &body, &key);
    assert_eq!((repeated.status, &repeated.json()["code"]), (410, &json!("erased")));
    assert_eq!(client.get(&format!("/v1/payments/{}", kept["id"].as_str().unwrap())).json(), kept);
    for table in ["payments", "payment_events", "idempotency_keys", "operations", "outbox"] {
        let account = if table == "payment_events" {
            String::new()
        } else {
            "WHERE account_id = (SELECT id FROM payments.accounts WHERE name = 'shop')".to_owned()
        };
        let rows = world.sql(&format!("SELECT row_to_json(t) FROM payments.{table} t {account}"));
        assert!(!rows.is_empty());
        for personal in ["Ana", "size 38", "555-0100"] {
            assert!(!rows.contains(personal), "{table}: {rows}");
        }
    }
    assert!(!service.log_text().contains("Ana") && !error.contains("Ana"));
    assert_eq!(verify(&world, &[]).0, Some(0));
    eventually("the payment can be refunded", || {
        let refund = client.post(&format!("/v1/payments/{id}/refunds"), &json!({}));
        (refund.status == 201).then_some(())
    });
}

#[test]
fn a_payment_without_an_answer_is_erased_and_its_repetition_still_charges_once() {
    let world = World::new();
    let (service, client) = Client::start(&world, &[("PROVIDER_SECONDS", "1")]);
    let mut body = payment("pm_timeout");
    body["customer"] = "Ana Pérez".into();
    let key = [("Idempotency-Key", "a")];
    let first = client.post_with("/v1/payments", &body, &key);
    assert_eq!(first.status, 202, "{first:?}");
    // Before the provider is asked again.
    drop(service);
    let erased = world.command("erase", &["Ana Pérez"]);
    assert!(erased.status.success(), "{}", String::from_utf8_lossy(&erased.stderr));
    let stored = world.sql("SELECT status, body FROM payments.idempotency_keys");
    assert!(!stored.contains("Ana") && !stored.starts_with("410"), "{stored}");
    let service = world.start().ready();
    let client = Client { port: service.port, key: client.key };
    eventually("it is captured", || {
        (world.sql("SELECT status FROM payments.payments") == "captured").then_some(())
    });
    eventually("the API key is known", || (client.get("/v1/payments").status == 200).then_some(()));
    let repeated = client.post_with("/v1/payments", &body, &key);
    assert!(!repeated.body.contains("Ana") && repeated.status == 201, "{repeated:?}");
    assert_eq!(world.sql("SELECT count(*) FROM payments.payments"), "1");
}
