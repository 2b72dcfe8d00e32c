//! Every recorded answer of the legacy service, and where ours differs.
//!
//! `tests/recordings/legacy.json` is what `tests/recordings/record` got from the legacy service.
//! `tests/recordings/differences.json` has our answer to each request for which it is another one, with the row of
//! `docs/acceptance.md` that gives the reason.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::support::http::exchange_bytes;
use crate::support::{World, free_port};

const LEGACY: &str = include_str!("../recordings/legacy.json");
const DIFFERENCES: &str = include_str!("../recordings/differences.json");

#[derive(Deserialize)]
struct Exchange {
    request: String,
    response: String,
}

#[derive(Deserialize)]
struct Legacy {
    recorded: Recorded,
    #[serde(flatten)]
    regions: BTreeMap<String, BTreeMap<String, Exchange>>,
}

#[derive(Deserialize)]
struct Recorded {
    key: String,
}

/// Row of the acceptance table, region, name of the exchange, our answer.
type Differences = BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>;

/// Each character of a recording is one byte.
fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(u32::from(character)).unwrap()).collect()
}

/// A response in a form that can be compared: headers in order, without those that every answer of ours has, and without
/// times, ids and figures.
fn comparable(response: &str) -> String {
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((response, ""));
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    let mut headers: Vec<String> = lines
        .filter(|line| !line.starts_with("Date: ") && !line.starts_with("X-Request-Id: "))
        .map(|line| {
            if line.starts_with("Content-Length: ") && !body.is_empty() {
                "Content-Length: [n]"
            } else {
                line
            }
        })
        .map(|line| if line.starts_with("Content-Length: 1") { "Content-Length: [n]" } else { line })
        .map(str::to_owned)
        .collect();
    headers.sort();
    let id = regex_lite::Regex::new("txn_[0-9a-f]+").unwrap();
    let figures = regex_lite::Regex::new("(\":\"?|T|\\.|:|-)[0-9]+").unwrap();
    let body = figures.replace_all(&id.replace_all(body, "txn_[id]"), "${1}0").into_owned();
    // A pipelined answer is part of the body.
    let body = body.lines().filter(|line| !line.starts_with("Date: ") && !line.starts_with("X-Request-Id: "));
    [vec![status.to_owned()], headers, vec![String::new()], body.map(str::to_owned).collect()]
        .concat()
        .join("\n")
}

#[test]
fn every_answer_is_the_recorded_one_or_a_listed_difference() {
    let legacy: Legacy = serde_json::from_str(LEGACY).unwrap();
    let expected: Differences = serde_json::from_str(DIFFERENCES).unwrap();
    let mut found = Differences::new();
    for (region, exchanges) in &legacy.regions {
        let world = World::of_region(region);
        world.put("API_SECRET_KEY", &legacy.recorded.key);
        // One port for everything, as in the legacy service.
        let port = free_port().to_string();
        let changes = [("REGION", region.as_str()), ("PORT", &port), ("METRICS_PORT", &port)];
        let service = world.start_with(&changes).ready();
        for (name, exchange) in exchanges {
            let response = exchange_bytes(service.port, &bytes(&exchange.request));
            let mut response = comparable(&response.iter().map(|byte| char::from(*byte)).collect::<String>());
            if name.contains("/metrics") {
                response.truncate(response.find("\n\n").unwrap_or(response.len()));
                response.push('\n');
            }
            if response != comparable(&exchange.response) {
                let listed = expected.iter().find(|(_, regions)| {
                    regions.get(region).is_some_and(|exchanges| exchanges.contains_key(name))
                });
                let row = listed.map_or("unlisted", |(row, _)| row);
                let of_row = found.entry(row.to_owned()).or_default().entry(region.clone()).or_default();
                of_row.insert(name.clone(), response);
            }
        }
    }
    assert!(
        found == expected,
        "differences.json is not what the service answers, which is:\n{}",
        serde_json::to_string_pretty(&found).unwrap()
    );
}
