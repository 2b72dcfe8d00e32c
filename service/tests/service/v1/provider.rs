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
