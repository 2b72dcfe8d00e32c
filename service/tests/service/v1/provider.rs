//! A provider that is late, silent, or forgets to answer, and a service that dies meanwhile.

use serde_json::json;

use crate::support::client::payment;
use crate::support::{Client, World, eventually};

const TRANSFERS: &str = "SELECT count(*) FROM payments.transfers";

#[test]
fn a_payment_without_an_answer_is_unknown_until_the_provider_is_asked_again() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[("PROVIDER_SECONDS", "1")]);
    let key = [("Idempotency-Key", "a")];
    let reply = client.post_with("/v1/payments", &payment("pm_timeout"), &key);
    assert_eq!((reply.status, &reply.json()["status"]), (202, &json!("unknown")), "{reply:?}");
    let path = format!("/v1/payments/{}", reply.json()["id"].as_str().unwrap());
    let known = eventually("the provider has been asked", || {
        let payment = client.get(&path).json();
        (payment["status"] == "captured").then_some(payment)
    });
    assert_eq!(world.sql(TRANSFERS), "1");
    // Whoever repeats the request learns what has become of it.
    let repeated = client.post_with("/v1/payments", &payment("pm_timeout"), &key);
    assert_eq!((repeated.status, repeated.json()), (201, known));
}

#[test]
fn a_refund_without_an_answer_keeps_its_amount_aside_until_there_is_one() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[("PROVIDER_SECONDS", "1")]);
    let id = client.pay("pm_timeout").json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/payments/{id}");
    eventually("it is captured", || (client.get(&path).json()["status"] == "captured").then_some(()));
    let refund = client.post(&format!("{path}/refunds"), &json!({ "amount": 700 }));
    assert_eq!((refund.status, &refund.json()["status"]), (202, &json!("unknown")), "{refund:?}");
    let second = client.post(&format!("{path}/refunds"), &json!({ "amount": 301 }));
    assert_eq!(second.status, 422, "{second:?}");
    eventually("it is refunded", || (client.get(&path).json()["amount_refunded"] == 700).then_some(()));
    let refunds = client.get(&format!("{path}/refunds")).json();
    assert_eq!(refunds["data"][0]["status"], "succeeded");
}

#[test]
fn a_provider_whose_answer_is_lost_is_asked_again_and_charges_once() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let reply = client.pay("pm_twice");
    assert_eq!((reply.status, &reply.json()["status"]), (201, &json!("captured")), "{reply:?}");
    assert_eq!(world.sql(TRANSFERS), "1");
}

#[test]
fn a_slow_provider_is_waited_for() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    assert_eq!(client.pay("pm_slow_5s").status, 201);
}

#[test]
fn a_payment_whose_process_was_killed_is_finished_by_the_next_one() {
    let world = World::new();
    let (service, client) = Client::start(&world, &[]);
    let key = [("Idempotency-Key", "a")];
    let _pending = client.send("/v1/payments", &payment("pm_slow_5s"), &key);
    eventually("it has begun", || {
        (world.sql("SELECT status FROM payments.payments") == "created").then_some(())
    });
    // SIGKILL.
    drop(service);
    let service = world.start().ready();
    let client = Client { port: service.port, key: client.key };
    eventually("the API key is known", || (client.get("/v1/payments").status == 200).then_some(()));
    let repeated = client.post_with("/v1/payments", &payment("pm_slow_5s"), &key);
    assert_eq!((repeated.status, repeated.header("retry-after")), (409, Some("1")), "{repeated:?}");
    // Instead of waiting for the minute that the first process could have needed.
    world.sql("UPDATE payments.operations SET check_at = now()");
    let replay = eventually("it is finished", || {
        let reply = client.post_with("/v1/payments", &payment("pm_slow_5s"), &key);
        (reply.status != 409).then_some(reply)
    });
    assert_eq!((replay.status, replay.header("idempotent-replayed")), (201, Some("true")), "{replay:?}");
    assert_eq!(world.sql(TRANSFERS), "1");
}

#[test]
fn an_operation_is_settled_once_however_many_have_an_answer() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let id = client.pay("pm_later_declined").json()["id"].as_str().unwrap().to_owned();
    let refunds = format!("/v1/payments/{id}/refunds");
    assert_eq!(client.post(&refunds, &json!({})).status, 402);
    let books = "SELECT status, refunding, refunded, version FROM payments.payments";
    let before = world.sql(books);
    // What a process runs that took the operation before it was settled, and reads the payment after that.
    let statement = include_str!("../../../src/store/sql/settle_operation.sql");
    let execute = world.sql(
        "SELECT format('EXECUTE settle(%L, %s, %L, 1000, 0, 0, NULL, NULL, %L, %s, %L, now(), %L, %L, %L, %L, NULL, 0,
                 NULL, NULL, NULL, %L, 200, %L)',
             payment.id, version, status, provider_reference, version + 1, head, 'refund.failed', '{}', operation.id,
             'failed', idempotency_key, '{}')
         FROM payments.payments AS payment
         JOIN payments.operations AS operation ON operation.payment_id = payment.id AND kind = 'refund'",
    );
    let settle = format!("PREPARE settle AS {statement}; {execute}");
    assert_eq!(world.sql(&settle).lines().last(), Some("f"));
    assert_eq!(world.sql(books), before);
}

#[test]
fn a_payment_that_never_reached_the_provider_is_not_made_a_day_later() {
    let world = World::new();
    let (service, client) = Client::start(&world, &[]);
    let _pending = client.send("/v1/payments", &payment("pm_slow_5s"), &[("Idempotency-Key", "a")]);
    eventually("it has begun", || {
        (world.sql("SELECT count(*) FROM payments.operations") == "1").then_some(())
    });
    // SIGKILL. The next process's provider has never heard of the payment.
    drop(service);
    // The time of an operation is in its id.
    let old = "01900000-0000-7000-8000-000000000000";
    world.sql(&format!("UPDATE payments.idempotency_keys SET resource_id = '{old}'"));
    world.sql(&format!("UPDATE payments.operations SET id = '{old}', check_at = now()"));
    let _service = world.start().ready();
    let status = "SELECT status, failure FROM payments.payments";
    eventually("it is given up", || (world.sql(status) == "failed|not_submitted_in_time").then_some(()));
}

#[test]
fn a_key_without_an_answer_is_kept_for_longer_than_a_day() {
    let world = World::new();
    let (service, client) = Client::start(&world, &[]);
    let key = [("Idempotency-Key", "a")];
    let _pending = client.send("/v1/payments", &payment("pm_slow_5s"), &key);
    let count = "SELECT count(*) FROM payments.payments";
    eventually("it has begun", || (world.sql(count) == "1").then_some(()));
    // SIGKILL.
    drop(service);
    let service = world.start().ready();
    let client = Client { port: service.port, key: client.key };
    eventually("the API key is known", || (client.get("/v1/payments").status == 200).then_some(()));
    for status in ["NULL", "202"] {
        world.sql(&format!(
            "UPDATE payments.idempotency_keys SET created_at = now() - interval '25 hours', status = {status}, body = '{{}}'"
        ));
        let repeated = client.post_with("/v1/payments", &payment("pm_slow_5s"), &key);
        let expected = if status == "NULL" { 409 } else { 202 };
        assert_eq!(repeated.status, expected, "{repeated:?}");
        assert_eq!(world.sql(count), "1");
    }
    world.sql("UPDATE payments.idempotency_keys SET status = 201");
    assert_eq!(client.post_with("/v1/payments", &payment("pm_ok"), &key).status, 201);
    assert_eq!(world.sql(count), "2");
}
