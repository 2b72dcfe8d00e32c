//! Sixty-four regions against the simulated AWS: what `status` costs grows with the regions, and no faster.

use std::{
    fs,
    process::{Child, Stdio},
};

use serde_json::{Value, json};

use crate::{account::account, checkout::Checkout};

const PAYDEPLOY: &str = env!("CARGO_BIN_EXE_paydeploy");

/// The most memory that a run with 64 regions may need.
const MEMORY_KB: u64 = 100 * 1024;

/// The most memory that a process has used before it ended, in kB.
fn peak(run: &mut Child) -> u64 {
    let status = format!("/proc/{}/status", run.id());
    let mut peak = 0;
    while run.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let used = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        peak = peak.max(used.unwrap_or_default());
        std::thread::yield_now();
    }
    peak
}

/// How many calls a `status` makes, how many steps it lists, and the most memory that it uses.
fn status_of(count: usize) -> (u64, usize, u64) {
    let checkout = Checkout::of_regions(count);
    checkout.rename_project(&format!("scale-{count}"));
    // A delay that is too short to matter. What counts is how many calls the rule matches.
    let key = checkout.keys.id.as_str();
    account().add_fault(&json!({ "access_key": key, "count": null, "delay": 0.000_001 }));
    let file = checkout.path("../status");
    let mut run = checkout.command(PAYDEPLOY);
    run.args(["status", "--output", "json"])
        .stdout(fs::File::create(&file).unwrap())
        .stderr(Stdio::inherit());
    let mut run = run.spawn().unwrap();
    let memory = peak(&mut run);
    assert_eq!(run.wait().unwrap().code(), Some(3), "nothing is deployed");
    let calls = account().matched(|rule| rule["access_key"] == key).iter().sum();
    account().clear_faults(key);
    let status: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(status["holders"].as_object().unwrap().len(), count, "each region's lease was read");
    (calls, status["steps"].as_array().unwrap().len(), memory)
}

#[test]
fn the_calls_of_a_status_grow_with_the_regions_and_its_memory_stays_small() {
    let (few, some_steps, _) = status_of(4);
    let (many, all_steps, memory) = status_of(64);
    println!("4 regions: {few} calls, {some_steps} steps; 64: {many} calls, {all_steps} steps, {memory} kB");
    // Its lease, its state bucket's key, and the states.
    assert!(many - few <= 60 * 3, "{few} calls for 4 regions, {many} for 64");
    assert!(all_steps > 15 * some_steps, "{some_steps} steps of 4 regions, {all_steps} of 64");
    assert!((1..MEMORY_KB).contains(&memory), "{memory} kB");
}
