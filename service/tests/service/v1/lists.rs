//! Lists: every payment once, newest first, and only those that were asked for.

use serde_json::{Value, json};

use crate::support::{Client, World};

/// The ids of all pages of a list.
fn pages(client: &Client, query: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after = String::new();
    loop {
        let page = client.get(&format!("/v1/payments?{query}{after}")).json();
        let data = page["data"].as_array().unwrap();
        ids.extend(data.iter().map(|payment| payment["id"].as_str().unwrap().to_owned()));
        match &page["next"] {
            Value::String(next) => after = format!("&after={next}"),
            _ => return ids,
        }
        assert_eq!(page["has_more"], true);
    }
}

#[test]
fn pages_of_any_size_have_every_payment_once_and_the_newest_first() {
    let world = World::new();
    let other = world.new_key("another shop");
    let (_service, client) = Client::start(&world, &[]);
    let mut paid: Vec<_> =
        (0..7).map(|_| client.pay("pm_ok").json()["id"].as_str().unwrap().to_owned()).collect();
    paid.reverse();
    for limit in [1, 2, 3, 6, 7, 8, 100] {
        assert_eq!(pages(&client, &format!("limit={limit}")), paid, "{limit}");
    }
    assert_eq!(client.get("/v1/payments").json()["data"].as_array().unwrap().len(), 7);
    let other = Client { port: client.port, key: other };
    assert_eq!(other.get("/v1/payments").json()["data"], json!([]));
    assert_eq!(other.get(&format!("/v1/payments/{}", paid[0])).status, 404);
    assert_eq!(other.post(&format!("/v1/payments/{}/refunds", paid[0]), &json!({})).status, 404);
}

#[test]
fn a_list_can_be_limited_to_a_customer_a_status_and_a_time() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    let pay = |method: &str, customer: &str| {
        let body = json!({ "amount": 1, "currency": "EUR", "payment_method": method, "customer": customer });
        client.post("/v1/payments", &body);
    };
    for (method, customer) in [("pm_ok", "Ana"), ("pm_declined", "Ana"), ("pm_ok", "José Ñ")] {
        pay(method, customer);
    }
    // Each payment a minute after the one before: its time is in its id, whose first 48 bits are milliseconds.
    for (minute, id) in world.sql("SELECT id FROM payments.payments ORDER BY id").lines().enumerate() {
        let old = format!("0190000{minute}-0000-7000-8000-000000000000");
        world.sql(&format!(
            "ALTER TABLE payments.operations DROP CONSTRAINT IF EXISTS operations_payment_id_fkey;
             ALTER TABLE payments.payment_events DROP CONSTRAINT IF EXISTS payment_events_payment_id_fkey;
             ALTER TABLE payments.transfers DROP CONSTRAINT IF EXISTS transfers_payment_id_fkey;
             UPDATE payments.payments SET id = '{old}' WHERE id = '{id}'"
        ));
    }
    let count = |query: &str| {
        let reply = client.get(&format!("/v1/payments?{query}"));
        assert_eq!(reply.status, 200, "{query}: {reply:?}");
        reply.json()["data"].as_array().unwrap().len()
    };
    assert_eq!(count("customer=Ana"), 2);
    assert_eq!(count("customer=Jos%C3%A9+%C3%91"), 1);
    assert_eq!(count("status=captured"), 2);
    assert_eq!(count("customer=Ana&status=failed"), 1);
    assert_eq!(count("created_from=2020-01-01T00:00:00Z"), 3);
    assert_eq!(count("created_before=2020-01-01T00:00:00Z"), 0);
    let second = jiff::Timestamp::from_millisecond(0x0190_0001_0000).unwrap();
    assert_eq!(count(&format!("created_from={second}")), 2);
    assert_eq!(count(&format!("created_before={second}")), 1);
}

#[test]
fn a_query_with_a_mistake_is_refused() {
    let world = World::new();
    let (_service, client) = Client::start(&world, &[]);
    for (query, status) in [
        ("limit=0", 422),
        ("limit=101", 422),
        ("limit=x", 422),
        ("after=1", 422),
        ("status=done", 422),
        ("created_from=yesterday", 422),
        ("limit=%2B5", 422),
        ("customer=%00", 422),
        ("customer=", 422),
        ("costumer=Ana", 400),
        ("limit=5&limit=6", 400),
    ] {
        assert_eq!(client.get(&format!("/v1/payments?{query}")).status, status, "{query}");
    }
}
