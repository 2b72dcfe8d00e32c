//! A request that is repeated has its effect once.

use serde_json::json;

use crate::support::client::payment;
use crate::support::{Client, World};

const PAYMENTS: &str = "SELECT count(*) FROM payments.payments";

#[test]
fn a_repeated_request_gets_the_same_answer_and_pays_once() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let pay = |key: &str| client.post_with("/v1/payments", &payment("pm_ok"), &[("Idempotency-Key", key)]);
    let first = pay("order 17");
    assert_eq!((first.status, first.header("idempotent-replayed")), (201, None));
    // In quotes it is the same key.
    for key in ["order 17", "\"order 17\""] {
        let replay = pay(key);
        assert_eq!((replay.status, replay.header("idempotent-replayed")), (201, Some("true")));
        assert_eq!((&replay.body, replay.header("etag")), (&first.body, first.header("etag")));
    }
    assert_eq!(world.sql(PAYMENTS), "1");
}

#[test]
fn repeated_moves_get_the_same_answer_also_when_the_state_has_changed() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let id = client.authorize("pm_ok");
    for (path, key) in [("capture", "a"), ("refunds", "b")] {
        let path = format!("/v1/payments/{id}/{path}");
        let first = client.post_with(&path, &json!({}), &[("Idempotency-Key", key)]);
        let replay = client.post_with(&path, &json!({}), &[("Idempotency-Key", key)]);
        assert_eq!((replay.status, &replay.body), (first.status, &first.body));
        assert_eq!(replay.header("idempotent-replayed"), Some("true"));
    }
    assert_eq!(world.sql("SELECT count(*) FROM payments.transfers"), "2");
}

#[test]
fn a_declined_request_is_declined_again_and_names_its_own_request() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let pay = |id: &str| {
        let headers = [("Idempotency-Key", "a"), ("X-Request-Id", id)];
        client.post_with("/v1/payments", &payment("pm_declined"), &headers)
    };
    let (first, replay) = (pay("first"), pay("second"));
    assert_eq!((first.status, replay.status), (402, 402));
    assert_eq!(first.json()["payment"], replay.json()["payment"]);
    assert_eq!(
        (&first.json()["request_id"], &replay.json()["request_id"]),
        (&json!("first"), &json!("second"))
    );
    assert_eq!(world.sql(PAYMENTS), "1");
}

#[test]
fn a_key_belongs_to_one_request_of_one_account() {
    let world = World::new();
    let other = world.new_key("another shop");
    let (_service, client) = Client::start(&world, &[]);
    let key = [("Idempotency-Key", "a")];
    let id =
        client.post_with("/v1/payments", &payment("pm_ok"), &key).json()["id"].as_str().unwrap().to_owned();
    let mut more = payment("pm_ok");
    more["amount"] = 1001.into();
    let refunds = format!("/v1/payments/{id}/refunds");
    for (path, body) in [("/v1/payments", more), (&refunds, json!({}))] {
        let refused = client.post_with(path, &body, &key);
        assert_eq!(
            (refused.status, &refused.json()["code"]),
            (422, &json!("idempotency_key_reused")),
            "{path}"
        );
    }
    let other = Client { port: client.port, key: other };
    assert_eq!(other.post_with("/v1/payments", &payment("pm_ok"), &key).status, 201);
    assert_eq!(world.sql(PAYMENTS), "2");
}

#[test]
fn a_key_survives_the_rotation_of_the_api_key() {
    let world = World::new();
    let next = world.new_key("shop");
    let (_service, client) = Client::start(&world, &[]);
    let key = [("Idempotency-Key", "a")];
    let first = client.post_with("/v1/payments", &payment("pm_ok"), &key);
    let rotated = Client { port: client.port, key: next };
    let replay = rotated.post_with("/v1/payments", &payment("pm_ok"), &key);
    assert_eq!((replay.status, &replay.body), (201, &first.body));
    assert_eq!(world.sql(PAYMENTS), "1");
}

#[test]
fn every_post_needs_exactly_one_key() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let long = "k".repeat(256);
    let refused: [&[(&str, &str)]; 5] = [
        &[],
        &[("Idempotency-Key", "a"), ("Idempotency-Key", "b")],
        &[("Idempotency-Key", " ")],
        &[("Idempotency-Key", "\"open")],
        &[("Idempotency-Key", &long)],
    ];
    for headers in refused {
        let reply = client.post_with("/v1/payments", &payment("pm_ok"), headers);
        assert_eq!((reply.status, &reply.json()["param"]), (400, &json!("Idempotency-Key")), "{headers:?}");
    }
    assert_eq!(world.sql(PAYMENTS), "0");
}

#[test]
fn of_two_hundred_simultaneous_equal_requests_one_pays() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let replies: Vec<_> = std::thread::scope(|scope| {
        let pay = || client.post_with("/v1/payments", &payment("pm_ok"), &[("Idempotency-Key", "a")]);
        let requests: Vec<_> = (0..200).map(|_| scope.spawn(pay)).collect();
        requests.into_iter().map(|request| request.join().unwrap()).collect()
    });
    let fresh =
        replies.iter().filter(|reply| reply.status == 201 && reply.header("idempotent-replayed").is_none());
    assert_eq!(fresh.count(), 1);
    for reply in &replies {
        let is_early = reply.status == 409 && reply.json()["code"] == "in_progress";
        assert!(reply.status == 201 || is_early, "{reply:?}");
    }
    assert_eq!(world.sql(PAYMENTS), "1");
    assert_eq!(world.sql("SELECT count(*) FROM payments.transfers"), "1");
}

#[test]
fn a_key_is_free_again_after_a_day() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let pay = || client.post_with("/v1/payments", &payment("pm_ok"), &[("Idempotency-Key", "a")]);
    let first = pay().json()["id"].clone();
    world.sql("UPDATE payments.idempotency_keys SET created_at = created_at - interval '24 hours'");
    let second = pay();
    assert_eq!((second.status, second.header("idempotent-replayed")), (201, None));
    assert_ne!(second.json()["id"], first);
}
