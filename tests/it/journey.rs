//! The main job, for real, on the sandbox: an empty account, two regions, and back. One test, because each
//! part begins where the one before ended.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::world::{World, ends_with, text};

const REGIONS: [(&str, &str, &str); 2] =
    [("spain", "eu-south-2", "api-es.payments.example"), ("mexico", "us-east-1", "api-mx.payments.example")];
const NAMESPACE: &str = "payment-api";

#[test]
fn two_regions_come_up_from_nothing_are_operated_and_go_away() {
    let world = World::here();
    section("status of an empty account: not as configured");
    ends_with(3, &mut world.paydeploy(&["status"]));

    section("up");
    ends_with(0, &mut world.paydeploy(&["up"]));
    for region in REGIONS {
        everything_is_there(&world, region, &world.head());
    }
    no_secret_was_told(&world);

    section("status: as configured");
    let status: Value =
        serde_json::from_str(&text(&mut world.paydeploy(&["status", "--output", "json"]))).unwrap();
    assert!(status["steps"].as_array().unwrap().iter().all(|step| step["state"] == "ok"), "{status}");

    section("up again: nothing is written");
    let (calls, releases) = (world.last_call(), helm_releases(&world));
    ends_with(0, &mut world.paydeploy(&["up"]));
    let written: Vec<String> =
        world.calls_since(calls).into_iter().filter(|call| !call.contains(".tflock")).collect();
    assert!(written.is_empty(), "a second up wrote: {written:#?}");
    assert_eq!(helm_releases(&world), releases, "a second up made Helm revisions");

    a_change_by_hand_is_drift(&world);
    an_interrupted_release_goes_on(&world);
    phases_run_alone_from_clean_clones();
    a_failure_stays_in_its_region(&world);

    section("down");
    ends_with(0, &mut world.paydeploy(&["down", "--yes"]));
    section("down again: nothing to do");
    ends_with(0, &mut world.paydeploy(&["down", "--yes"]));
    only_state_and_dying_keys_stay(&world);
}

fn section(title: &str) {
    println!("\n==== {title}");
}

/// The region as a user's other tools see it.
fn everything_is_there(world: &World, (region, aws_region, domain): (&str, &str, &str), commit: &str) {
    let name = format!("payment-latency-api-{region}");
    let cluster = world.aws(aws_region, &["eks", "describe-cluster", "--name", &name]);
    assert_eq!(cluster["cluster"]["status"], "ACTIVE");

    let nodes = world.kubectl_json(region, &["get", "nodes"]);
    assert_eq!(nodes["items"].as_array().unwrap().len(), 2, "a system and an application node");

    let tag = format!("imageTag={commit}");
    let repository =
        ["ecr", "describe-images", "--repository-name", "payment-latency-api", "--image-ids", &tag];
    let digest =
        world.aws(aws_region, &repository)["imageDetails"][0]["imageDigest"].as_str().unwrap().to_owned();
    let pods = world
        .kubectl_json(region, &["-n", NAMESPACE, "get", "pods", "-l", "app.kubernetes.io/component=api"]);
    // those that a rollout is still ending do not count
    let stays = |pod: &&Value| pod["metadata"].get("deletionTimestamp").is_none();
    let pods: Vec<&Value> = pods["items"].as_array().unwrap().iter().filter(stays).collect();
    assert!(pods.len() >= 2, "{} pods", pods.len());
    for pod in pods {
        let image = pod["spec"]["containers"][0]["image"].as_str().unwrap();
        assert!(image.ends_with(&digest), "{image} is not {digest}");
    }

    let application = format!("payment-latency-api-{region}");
    let status =
        &world.kubectl_json("spain", &["-n", "argocd", "get", "application", &application])["status"];
    assert_eq!(
        (&status["sync"]["status"], &status["health"]["status"]),
        (&json!("Synced"), &json!("Healthy"))
    );
    assert_eq!(status["sync"]["revision"], commit);

    let health = format!("/api/v1/namespaces/{NAMESPACE}/services/payment-latency-api:http/proxy/health");
    let health: Value = serde_json::from_str(&world.kubectl(region, &["get", "--raw", &health])).unwrap();
    assert_eq!(
        (&health["status"], &health["database"]),
        (&json!("healthy"), &json!("connected")),
        "{health}"
    );

    let records = ["route53", "list-hosted-zones-by-name", "--dns-name", "payments.example"];
    let zone = world.aws(aws_region, &records)["HostedZones"][0]["Id"].as_str().unwrap().to_owned();
    let records = world.aws(aws_region, &["route53", "list-resource-record-sets", "--hosted-zone-id", &zone]);
    let names = records["ResourceRecordSets"].as_array().unwrap();
    assert!(
        names.iter().any(|set| set["Name"] == format!("{domain}.") && set["Type"] == "A"),
        "no record of {domain}"
    );
}

/// The API key is where it belongs and nowhere else.
fn no_secret_was_told(world: &World) {
    let in_region = |(_, aws_region, _): (&str, &'static str, &str)| {
        let secrets = world.aws(aws_region, &["secretsmanager", "list-secrets"])["SecretList"].clone();
        let arn = |secret: &Value| (aws_region, secret["ARN"].as_str().unwrap().to_owned());
        secrets.as_array().unwrap().iter().map(arn).collect::<Vec<_>>()
    };
    let arns: Vec<_> = REGIONS.into_iter().flat_map(in_region).collect();
    assert_eq!(arns.len(), 8, "api, app, migrator and master, in two regions");
    for (aws_region, arn) in arns {
        let value = world.aws(aws_region, &["secretsmanager", "get-secret-value", "--secret-id", &arn]);
        let value: Value = serde_json::from_str(value["SecretString"].as_str().unwrap()).unwrap();
        for secret in ["API_SECRET_KEY", "password"].into_iter().filter_map(|key| value[key].as_str()) {
            let found = Command::new("grep")
                .args(["-rlF", secret, ".paydeploy"])
                .current_dir(&world.workspace)
                .output();
            let found = String::from_utf8(found.unwrap().stdout).unwrap();
            assert!(found.is_empty(), "a secret of {arn} is in {found}");
        }
    }
}

/// Every Helm release's revision, in every region.
fn helm_releases(world: &World) -> Vec<String> {
    let each = REGIONS.map(|(region, ..)| {
        world.kubectl(region, &["get", "secrets", "-A", "-l", "owner=helm", "-o", "name"])
    });
    each.iter().flat_map(|names| names.lines().map(str::to_owned)).collect()
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

fn an_interrupted_release_goes_on(world: &World) {
    section("a new release, interrupted, and up again");
    let commit = world.commit("a later release");
    let mut up = world.paydeploy(&["up", "--output", "json"]);
    let mut child = up.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let events = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut interrupted = false;
    for line in std::io::BufRead::lines(events) {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if !interrupted && event["event"] == "effect-started" {
            interrupted = true;
            text(Command::new("kill").args(["-INT", &child.id().to_string()]));
        }
    }
    assert!(interrupted, "a new release has effects");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    ends_with(0, &mut world.paydeploy(&["up"]));
    for region in REGIONS {
        everything_is_there(world, region, &commit);
    }
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

fn a_failure_stays_in_its_region(world: &World) {
    section("one region fails, the other finishes");
    let commit = world.commit("a release that mexico misses at first");
    world.add_fault(&json!({
        "service": "ecr", "region": "us-east-1", "action": "*",
        "count": null, "status": 400, "code": "AccessDeniedException",
    }));
    let told = ends_with(1, &mut world.paydeploy(&["up"]));
    world.clear_faults();
    assert!(told.contains("docker/mexico") && told.contains("AccessDeniedException"), "the failure is named");
    let [spain, mexico] = REGIONS;
    everything_is_there(world, spain, &commit);
    ends_with(0, &mut world.paydeploy(&["up"]));
    everything_is_there(world, mexico, &commit);
}

fn only_state_and_dying_keys_stay(world: &World) {
    let left = world.inventory();
    let stays = |thing: &Value| match thing["service"].as_str() {
        Some("s3") => {
            thing["id"].as_str().is_some_and(|name| name.starts_with("payment-latency-api-tfstate-"))
        }
        Some("kms") => thing["state"] == "PendingDeletion",
        _ => false,
    };
    let things = left.as_array().expect("the inventory is a list");
    let leaked: Vec<&Value> = things.iter().filter(|thing| !stays(thing)).collect();
    assert!(leaked.is_empty(), "left behind: {leaked:#?}");
    assert!(!things.is_empty(), "the state buckets stay");
    let runs = fs::read_dir(world.workspace.join(".paydeploy/runs")).unwrap().count();
    assert!(runs > 5, "the runs' journals stay for the user");
}
