//! A client of `/v1`.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::http::{self, Pending, Reply};
use super::{Service, World};

pub struct Client {
    pub port: u16,
    pub key: String,
}

impl Client {
    /// A service of `world`, and an account's client of it.
    pub fn start(world: &World, changes: &[(&str, &str)]) -> (Service, Self) {
        // The service reads the keys when it starts.
        let key = world.new_key("shop");
        let service = world.start_with(changes).ready();
        let client = Self { port: service.port, key };
        super::eventually("the API key is known", || {
            (client.get("/v1/payments").status == 200).then_some(())
        });
        (service, client)
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        http::get_with(self.port, path, &[("Authorization", &self.bearer())])
    }

    /// A POST with a new idempotency key.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_with(path, body, &[("Idempotency-Key", &new_key())])
    }

    #[track_caller]
    pub fn post_with(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Reply {
        self.send(path, body, headers).reply().unwrap()
    }

    pub fn send(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Pending {
        let bearer = self.bearer();
        let mut all = vec![("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        all.extend_from_slice(headers);
        http::send_with_body(self.port, "POST", path, &all, &body.to_string()).unwrap()
    }

    /// A payment of 10.00 EUR with this method.
    #[track_caller]
    pub fn pay(&self, method: &str) -> Reply {
        self.post("/v1/payments", &payment(method))
    }

    /// The id of a new payment of 10.00 EUR that is authorized and not captured.
    #[track_caller]
    pub fn authorize(&self, method: &str) -> String {
        let mut body = payment(method);
        body["capture"] = "manual".into();
        let reply = self.post("/v1/payments", &body);
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.key)
    }
}

/// The body of a payment of 10.00 EUR.
pub fn payment(method: &str) -> Value {
    json!({ "amount": 1000, "currency": "EUR", "payment_method": method })
}

pub fn new_key() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("order-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}
