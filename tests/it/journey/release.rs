//! Releases after the first: in order, interrupted, bad, and on bad days.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{MEXICO, REGIONS, SPAIN, look::everything_is_there, section, transcripts::Transcripts};
use crate::world::{World, ends_with, text};

/// Runs `up` to its end and lets somebody see each event as it comes; returns the exit code and all of them.
fn up(world: &World, mut see: impl FnMut(u32, &Value)) -> (Option<i32>, Vec<Value>) {
    let mut up = world.paydeploy(&["up", "--output", "json"]);
    let mut child = up.stdout(Stdio::piped()).spawn().unwrap();
    let mut events = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        see(child.id(), &event);
        events.push(event);
    }
    (child.wait().unwrap().code(), events)
}

fn is_about(event: &Value, name: &str, phase: &str, region: &str) -> bool {
    event["event"] == name && event["step"]["phase"] == phase && event["step"]["region"] == region
}

pub fn an_interrupted_one_goes_on_in_the_order_of_the_rollout(world: &World) {
    section("a new release, interrupted, and up again");
    let commit = world.commit("a later release");
    let mut interrupted = false;
    let (code, _) = up(world, |up, event| {
        if !interrupted && event["event"] == "effect-started" {
            interrupted = true;
            text(Command::new("kill").args(["-INT", &up.to_string()]));
        }
    });
    assert!(interrupted, "a new release has effects");
    assert_eq!(code, Some(130));

    let (code, events) = up(world, |_, _| ());
    assert_eq!(code, Some(0), "{events:#?}");
    let at = |name, region| events.iter().position(|event| is_about(event, name, "apps", region)).unwrap();
    assert!(
        at("step-finished", "spain") < at("step-started", "mexico"),
        "mexico is released when spain is healthy"
    );
    for region in REGIONS {
        everything_is_there(world, region, &commit);
    }
}

pub fn a_bad_one_stops_at_the_first_region_and_says_why(world: &World) {
    section("a release that does not start: told with its own last words, and the second region left alone");
    let good = world.head();
    let deployment = "charts/payment-latency-api/templates/deployment.yaml";
    world.edit(deployment, "args: [serve]", "args: [no-such-command]");
    world.edit(deployment, "progressDeadlineSeconds: 300", "progressDeadlineSeconds: 15");
    world.commit("a bad release");
    let told = ends_with(1, &mut world.paydeploy(&["up"]));
    assert!(told.contains("apps/spain") && told.contains("degraded"), "the region and its state are named");
    assert!(told.contains("unrecognized subcommand 'no-such-command'"), "the pod's last lines are shown");
    assert!(told.contains("skipped: apps/mexico"), "the second region waits");
    everything_is_there(world, MEXICO, &good);
    // the pods of the good release stay until others are ready
    look_alive(world);
    world.edit(deployment, "args: [no-such-command]", "args: [serve]");
    world.edit(deployment, "progressDeadlineSeconds: 15", "progressDeadlineSeconds: 300");
}

fn look_alive(world: &World) {
    let health = "/api/v1/namespaces/payment-api/services/payment-latency-api:http/proxy/health";
    let health: Value = serde_json::from_str(&world.kubectl("spain", &["get", "--raw", health])).unwrap();
    assert_eq!(health["status"], "healthy", "{health}");
}

pub fn one_survives_an_engine_that_is_off_and_a_registry_that_is_down(world: &World) {
    section("a release without a container engine: the remedy is told");
    let commit = world.commit("the repair");
    let off = "unix:///nowhere/docker.sock";
    let told = ends_with(1, world.paydeploy(&["phase", "docker"]).env("DOCKER_HOST", off));
    for word in [off, "no container engine answers", "systemctl start docker", "DOCKER_HOST"] {
        assert!(told.contains(word), "`{word}` is not told");
    }

    section("a registry that is down for a while: tried again until it is there");
    world.sandbox(&["stop", "ecr-mexico"]);
    let mut down = true;
    let (code, events) = up(world, |_, event| {
        if down && is_about(event, "step-retry", "docker", "mexico") {
            down = false;
            world.sandbox(&["start", "ecr-mexico"]);
        }
    });
    assert!(!down, "a push to a registry that is down is tried again");
    assert_eq!(code, Some(0), "{events:#?}");
    for region in REGIONS {
        everything_is_there(world, region, &commit);
    }
}

pub fn a_failure_stays_in_its_region(world: &World, transcripts: &mut Transcripts) {
    section("one region fails, the other finishes");
    let commit = world.commit("a release that mexico misses at first");
    world.add_fault(&json!({
        "service": "ecr", "region": "us-east-1", "action": "*",
        "count": null, "status": 400, "code": "AccessDeniedException",
    }));
    let told = transcripts.record("failure", 1, &mut world.paydeploy(&["up"]));
    world.clear_faults();
    assert!(told.contains("docker/mexico") && told.contains("AccessDeniedException"), "the failure is named");
    everything_is_there(world, SPAIN, &commit);
    ends_with(0, &mut world.paydeploy(&["up"]));
    everything_is_there(world, MEXICO, &commit);
}
