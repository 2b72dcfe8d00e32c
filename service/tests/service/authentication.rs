//! `X-API-Key` is required on the payment route only.

use crate::support::world::API_KEY;
use crate::support::{Service, World, eventually, get_with};

fn pay(service: &Service, headers: &[(&str, &str)]) -> (u16, String) {
    let reply = get_with(service.port, "/api/payment/simulate", headers);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    (reply.status, reply.body)
}

#[test]
fn no_key_is_401_and_a_wrong_one_403() {
    let world = World::new();
    let service = world.start().ready();
    let missing = (401, "{\"error\": \"Missing X-API-Key header\"}\n".to_owned());
    let invalid = (403, "{\"error\": \"Invalid API key\"}\n".to_owned());
    assert_eq!(pay(&service, &[]), missing);
    assert_eq!(pay(&service, &[("X-API-Key", "")]), missing);
    assert_eq!(pay(&service, &[("X-API-Key", "wrong")]), invalid);
    assert_eq!(pay(&service, &[("X-API-Key", &API_KEY[1..])]), invalid);
    assert_eq!(pay(&service, &[("x-api-key", API_KEY)]).0, 200);
}

#[test]
fn the_previous_key_is_valid_until_its_file_is_deleted() {
    let world = World::new();
    world.put("API_SECRET_KEY_PREVIOUS", "the-old-one");
    let service = world.start().ready();
    assert_eq!(pay(&service, &[("X-API-Key", "the-old-one")]).0, 200);
    assert_eq!(pay(&service, &[("X-API-Key", API_KEY)]).0, 200);

    std::fs::remove_file(world.secrets().join("API_SECRET_KEY_PREVIOUS")).unwrap();
    eventually("the old key is rejected", || {
        (pay(&service, &[("X-API-Key", "the-old-one")]).0 == 403).then_some(())
    });
    assert_eq!(pay(&service, &[("X-API-Key", API_KEY)]).0, 200);
}

#[test]
fn a_rotated_key_takes_effect_without_a_restart() {
    let world = World::new();
    let service = world.start().ready();
    world.put("API_SECRET_KEY_PREVIOUS", API_KEY);
    world.put("API_SECRET_KEY", "the-new-one");
    eventually("the new key is accepted", || {
        (pay(&service, &[("X-API-Key", "the-new-one")]).0 == 200).then_some(())
    });
    assert_eq!(pay(&service, &[("X-API-Key", API_KEY)]).0, 200);
    assert_eq!(pay(&service, &[("X-API-Key", "another")]).0, 403);
}

#[test]
fn the_key_stays_valid_when_its_file_disappears() {
    let world = World::new();
    let service = world.start().ready();
    std::fs::remove_file(world.secrets().join("API_SECRET_KEY")).unwrap();
    service.wait_for_log("keeping the current secrets");
    assert_eq!(pay(&service, &[("X-API-Key", API_KEY)]).0, 200);
}
