//! Later releases: in rollout order, interrupted, broken, and during outages.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{MEXICO, REGIONS, SPAIN, section, transcripts::Transcripts, verify::region_runs};
use crate::world::{World, ends_with, text};

/// Runs `up` to its end and passes each event to `see` as it arrives. Returns the exit code and all events.
pub fn up(world: &World, mut see: impl FnMut(u32, &Value)) -> (Option<i32>, Vec<Value>) {
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

pub fn is_about(event: &Value, name: &str, phase: &str, region: &str) -> bool {
    event["event"] == name && event["step"]["phase"] == phase && event["step"]["region"] == region
}

pub fn an_interrupted_one_resumes_in_rollout_order(world: &World) {
    section("a new release: interrupted, then resumed");
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
        "mexico is released after spain is healthy"
    );
    for region in REGIONS {
        region_runs(world, region, &commit);
    }
}

pub fn a_bad_one_stops_at_the_first_region_with_its_cause(world: &World) {
    section(
        "a release that does not start: reported with the command that reads its log, and the second region is not touched",
    );
    let good = world.head();
    let deployment = "charts/payment-latency-api/templates/deployment.yaml";
    world.edit(deployment, "args: [serve]", "args: [no-such-command]");
    world.edit(deployment, "progressDeadlineSeconds: 300", "progressDeadlineSeconds: 15");
    world.commit("a bad release");
    let output = ends_with(1, &mut world.paydeploy(&["up"]));
    assert!(
        output.contains("apps/spain") && output.contains("degraded"),
        "the region and its state are named"
    );
    assert!(output.contains("kubectl -n payment-api logs "), "the command that reads the pod's log is named");
    assert!(!output.contains("unrecognized subcommand"), "what the pod wrote may contain secrets");
    assert!(output.contains("skipped: apps/mexico"), "the second region waits");
    region_runs(world, MEXICO, &good);
    // The pods of the good release keep running until new ones are ready.
    spain_is_healthy(world);
    world.edit(deployment, "args: [no-such-command]", "args: [serve]");
    world.edit(deployment, "progressDeadlineSeconds: 15", "progressDeadlineSeconds: 300");
}

fn spain_is_healthy(world: &World) {
    let health = "/api/v1/namespaces/payment-api/services/payment-latency-api:http/proxy/health";
    let health: Value = serde_json::from_str(&world.kubectl("spain", &["get", "--raw", health])).unwrap();
    assert_eq!(health["status"], "healthy", "{health}");
}

pub fn one_survives_a_stopped_engine_and_registry(world: &World) {
    section("a release without a container engine: the fix is reported");
    let commit = world.commit("the repair");
    let off = "unix:///nowhere/docker.sock";
    let output = ends_with(1, world.paydeploy(&["phase", "docker"]).env("DOCKER_HOST", off));
    for word in [off, "no container engine responds", "systemctl start docker", "DOCKER_HOST"] {
        assert!(output.contains(word), "`{word}` is not reported");
    }

    section("a registry outage: retried until it ends");
    world.sandbox(&["stop", "ecr-mexico"]);
    let mut down = true;
    let (code, events) = up(world, |_, event| {
        if down && is_about(event, "step-retry", "docker", "mexico") {
            down = false;
            world.sandbox(&["start", "ecr-mexico"]);
        }
    });
    assert!(!down, "the push is retried during the outage");
    assert_eq!(code, Some(0), "{events:#?}");
    for region in REGIONS {
        region_runs(world, region, &commit);
    }
}

pub fn a_failure_stays_in_its_region(world: &World, transcripts: &mut Transcripts) {
    section("one region fails, the other finishes");
    let commit = world.commit("a release that mexico misses at first");
    world.add_fault(&json!({
        "service": "ecr", "region": "us-east-1", "action": "*",
        "count": null, "status": 400, "code": "AccessDeniedException",
    }));
    let output = transcripts.record("failure", 1, &mut world.paydeploy(&["up"]));
    world.clear_faults();
    assert!(
        output.contains("docker/mexico") && output.contains("AccessDeniedException"),
        "the failure is named"
    );
    region_runs(world, SPAIN, &commit);
    ends_with(0, &mut world.paydeploy(&["up"]));
    region_runs(world, MEXICO, &commit);
}
