//! The whole life cycle on the sandbox: from an empty account to two regions and back. One test, because each
//! part starts from the state that the previous one left.

mod access;
mod power_cut;
mod profile;
mod recipes;
mod release;
mod transcripts;
mod verify;

use serde_json::Value;

use self::transcripts::Transcripts;
use crate::world::{World, ends_with, text};

/// Name, AWS region and domain.
type Region = (&'static str, &'static str, &'static str);

const SPAIN: Region = ("spain", "eu-south-2", "api-es.payments.example");
const MEXICO: Region = ("mexico", "us-east-1", "api-mx.payments.example");
const REGIONS: [Region; 2] = [SPAIN, MEXICO];
const NAMESPACE: &str = "payment-api";

#[test]
fn two_regions_are_created_operated_and_deleted() {
    let world = World::running();
    let mut transcripts = Transcripts::default();
    section("status of an empty account: everything is missing");
    ends_with(3, &mut world.paydeploy(&["status"]));
    section("plan of an empty account: known and unknown changes");
    let output = transcripts.record("plan", 3, &mut world.paydeploy(&["plan", "--detailed-exitcode"]));
    assert!(output.contains("+ terraform/spain/state"), "the bucket will be created");
    assert!(output.contains("? apps/mexico"), "the release is unknown until the cluster exists");
    assert_eq!(world.last_call(), 0, "plan changes nothing");

    section("up");
    let output = transcripts.record("up", 0, &mut world.paydeploy(&["up"]));
    assert!(
        !output.contains("warning:"),
        "the sandbox's zone, address and credentials give no reason for a warning"
    );
    for region in REGIONS {
        verify::region_runs(&world, region, &world.head());
    }
    verify::no_secret_is_in_the_state_folder(&world);

    section("status: as configured");
    let status: Value =
        serde_json::from_str(&text(&mut world.paydeploy(&["status", "--output", "json"]))).unwrap();
    assert!(status["steps"].as_array().unwrap().iter().all(|step| step["state"] == "ok"), "{status}");

    transcripts.record("status", 0, &mut world.paydeploy(&["status"]));

    section("up again: no changes");
    let (calls, releases) = (world.last_call(), verify::helm_releases(&world));
    transcripts.record("up-again", 0, &mut world.paydeploy(&["up"]));
    // Locks, leases and the run's own record are deleted again.
    let is_lasting = |call: &String| {
        let passing = [".tflock", "/paydeploy/runs/", "/paydeploy/lease.json"];
        !passing.iter().any(|name| call.contains(name))
    };
    let written: Vec<String> = world.calls_since(calls).into_iter().filter(is_lasting).collect();
    assert!(written.is_empty(), "a second up wrote: {written:#?}");
    assert_eq!(verify::helm_releases(&world), releases, "a second up created Helm revisions");

    access::tokens_of_the_aws_cli_and_paydeploy_are_interchangeable(&world);
    access::a_region_that_is_no_longer_configured_is_shown(&world);
    argo_cd_restores_what_is_deleted_in_a_cluster(&world);
    a_change_by_hand_is_drift(&world);
    profile::it_changes_both_ways_and_keeps_every_secret(&world);
    release::an_interrupted_one_resumes_in_rollout_order(&world);
    release::a_bad_one_stops_at_the_first_region_with_its_cause(&world);
    release::one_survives_a_stopped_engine_and_registry(&world);
    recipes::the_ci_recipes_work_from_clean_clones(&world);
    release::a_failure_stays_in_its_region(&world, &mut transcripts);
    access::lost_access_is_reported_and_restored(&world);

    power_cut::a_teardown_continues_after_one_although_the_region_is_no_longer_configured(&world);
    section("down");
    transcripts.record("down", 0, &mut world.paydeploy(&["down", "--yes"]));
    section("down again: nothing to do");
    ends_with(0, &mut world.paydeploy(&["down", "--yes"]));
    verify::only_state_buckets_and_pending_keys_remain(&world);
    transcripts.compare();
}

fn section(title: &str) {
    println!("\n==== {title}");
}

fn argo_cd_restores_what_is_deleted_in_a_cluster(world: &World) {
    section("a deleted Service: Argo CD recreates it");
    let service =
        ["-n", NAMESPACE, "get", "service", "payment-latency-api", "-o", "jsonpath={.metadata.uid}"];
    let was = world.kubectl("mexico", &service);
    world.kubectl("mexico", &["-n", NAMESPACE, "delete", "service", "payment-latency-api", "--wait=true"]);
    world.until("the Service exists again", || {
        let now = world.try_kubectl("mexico", &service);
        now.is_some_and(|now| !now.is_empty() && now != was)
    });
}

fn a_change_by_hand_is_drift(world: &World) {
    section("a manual change: reported by status --drift, reverted by up");
    let arn =
        world.aws("us-east-1", &["rds", "describe-db-instances"])["DBInstances"][0]["DBInstanceArn"].clone();
    let arn = arn.as_str().unwrap();
    let tag = ["rds", "add-tags-to-resource", "--resource-name", arn, "--tags", "Key=Project,Value=tampered"];
    world.aws("us-east-1", &tag);
    let output = ends_with(3, &mut world.paydeploy(&["status", "--drift", "--region", "mexico"]));
    assert!(output.contains("aws_db_instance"), "the drifted resource is named");
    ends_with(0, &mut world.paydeploy(&["up"]));
    ends_with(0, &mut world.paydeploy(&["status", "--drift"]));
}
