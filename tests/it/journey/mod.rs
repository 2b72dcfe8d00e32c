//! The main job, for real, on the sandbox: an empty account, two regions, and back. One test, because each
//! part begins where the one before ended.

mod access;
mod look;
mod recipes;
mod release;
mod transcripts;

use std::process::Command;

use serde_json::Value;

use self::transcripts::Transcripts;
use crate::world::{World, ends_with, text};

/// Its name, the AWS region, the domain.
type Region = (&'static str, &'static str, &'static str);

const SPAIN: Region = ("spain", "eu-south-2", "api-es.payments.example");
const MEXICO: Region = ("mexico", "us-east-1", "api-mx.payments.example");
const REGIONS: [Region; 2] = [SPAIN, MEXICO];
const NAMESPACE: &str = "payment-api";

#[test]
fn two_regions_come_up_from_nothing_are_operated_and_go_away() {
    let world = World::here();
    let mut transcripts = Transcripts::default();
    section("status of an empty account: not as configured");
    ends_with(3, &mut world.paydeploy(&["status"]));
    section("the plan of an empty account: what can be known, and what not yet");
    let told = transcripts.record("plan", 3, &mut world.paydeploy(&["plan", "--detailed-exitcode"]));
    assert!(told.contains("+ terraform/spain/state"), "the bucket is to be made");
    assert!(told.contains("? apps/mexico"), "a release cannot be known before there is a cluster");
    assert_eq!(world.last_call(), 0, "a plan changes nothing");

    section("up");
    let told = transcripts.record("up", 0, &mut world.paydeploy(&["up"]));
    assert!(!told.contains("warning:"), "nothing is wrong with the sandbox's zone, address and credentials");
    for region in REGIONS {
        look::everything_is_there(&world, region, &world.head());
    }
    look::no_secret_was_told(&world);

    section("status: as configured");
    let status: Value =
        serde_json::from_str(&text(&mut world.paydeploy(&["status", "--output", "json"]))).unwrap();
    assert!(status["steps"].as_array().unwrap().iter().all(|step| step["state"] == "ok"), "{status}");

    transcripts.record("status", 0, &mut world.paydeploy(&["status"]));

    section("up again: nothing is written");
    let (calls, releases) = (world.last_call(), look::helm_releases(&world));
    transcripts.record("up-again", 0, &mut world.paydeploy(&["up"]));
    let written: Vec<String> =
        world.calls_since(calls).into_iter().filter(|call| !call.contains(".tflock")).collect();
    assert!(written.is_empty(), "a second up wrote: {written:#?}");
    assert_eq!(look::helm_releases(&world), releases, "a second up made Helm revisions");

    access::the_aws_clis_token_is_as_good_as_ours(&world);
    access::a_region_that_is_no_longer_configured_is_shown(&world);
    argo_cd_mends_what_is_changed_in_a_cluster(&world);
    a_change_by_hand_is_drift(&world);
    release::an_interrupted_one_goes_on_in_the_order_of_the_rollout(&world);
    release::a_bad_one_stops_at_the_first_region_and_says_why(&world);
    release::one_survives_an_engine_that_is_off_and_a_registry_that_is_down(&world);
    phases_run_alone_from_clean_clones();
    recipes::the_ci_recipes_work_from_clean_clones(&world);
    release::a_failure_stays_in_its_region(&world, &mut transcripts);
    access::a_cluster_that_refuses_is_told_and_mended(&world);

    section("down, one region: the other stays");
    ends_with(0, &mut world.paydeploy(&["down", "--yes", "--region", "mexico"]));
    look::everything_is_there(&world, SPAIN, &world.head());
    section("down");
    transcripts.record("down", 0, &mut world.paydeploy(&["down", "--yes"]));
    section("down again: nothing to do");
    ends_with(0, &mut world.paydeploy(&["down", "--yes"]));
    look::only_state_and_dying_keys_stay(&world);
    transcripts.compare();
}

fn section(title: &str) {
    println!("\n==== {title}");
}

fn argo_cd_mends_what_is_changed_in_a_cluster(world: &World) {
    section("a Service deleted by hand: Argo CD makes it again");
    let service =
        ["-n", NAMESPACE, "get", "service", "payment-latency-api", "-o", "jsonpath={.metadata.uid}"];
    let was = world.kubectl("mexico", &service);
    world.kubectl("mexico", &["-n", NAMESPACE, "delete", "service", "payment-latency-api", "--wait=true"]);
    world.until("the Service is there again", || {
        let now = world.try_kubectl("mexico", &service);
        now.is_some_and(|now| !now.is_empty() && now != was)
    });
}

fn a_change_by_hand_is_drift(world: &World) {
    section("a change by hand: seen by status --drift, mended by up");
    let arn =
        world.aws("us-east-1", &["rds", "describe-db-instances"])["DBInstances"][0]["DBInstanceArn"].clone();
    let arn = arn.as_str().unwrap();
    let tag = ["rds", "add-tags-to-resource", "--resource-name", arn, "--tags", "Key=Project,Value=tampered"];
    world.aws("us-east-1", &tag);
    let told = ends_with(3, &mut world.paydeploy(&["status", "--drift", "--region", "mexico"]));
    assert!(told.contains("aws_db_instance"), "the drifted resource is named");
    ends_with(0, &mut world.paydeploy(&["up"]));
    ends_with(0, &mut world.paydeploy(&["status", "--drift"]));
}

fn phases_run_alone_from_clean_clones() {
    section("seven single phases, each from its own clean clone");
    for phase in ["terraform", "kubeconfig", "docker", "helm-deps", "secrets", "argocd", "apps"] {
        let folder = tempfile::tempdir().unwrap();
        let clone = folder.path().join("clone");
        text(Command::new("git").args(["clone", "--quiet", "git://10.89.0.1/payments.git"]).arg(&clone));
        ends_with(0, &mut World::paydeploy_in(&clone, &["phase", phase]));
    }
}
