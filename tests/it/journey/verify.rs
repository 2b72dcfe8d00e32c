//! What is looked at from outside, and never through the program under test.

use std::{fs, process::Command};

use serde_json::{Value, json};

use super::{NAMESPACE, REGIONS, Region};
use crate::world::World;

/// The region as a user's other tools see it.
pub fn everything_is_there(world: &World, (region, aws_region, domain): Region, commit: &str) {
    let name = format!("payment-latency-api-{region}");
    let cluster = world.aws(aws_region, &["eks", "describe-cluster", "--name", &name]);
    assert_eq!(cluster["cluster"]["status"], "ACTIVE");

    let nodes = world.kubectl_json(region, &["get", "nodes"]);
    assert_eq!(nodes["items"].as_array().unwrap().len(), 2, "a system and an application node");

    let tag = format!("imageTag={commit}");
    let repository =
        ["ecr", "describe-images", "--repository-name", "payment-latency-api", "--image-ids", &tag];
    let image = world.aws(aws_region, &repository)["imageDetails"][0].clone();
    let digest = image["imageDigest"].as_str().unwrap().to_owned();
    assert!(image["imageSizeInBytes"].as_u64().unwrap() < 8_000_000, "{image}");
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
pub fn no_secret_was_told(world: &World) {
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
pub fn helm_releases(world: &World) -> Vec<String> {
    let each = REGIONS.map(|(region, ..)| {
        world.kubectl(region, &["get", "secrets", "-A", "-l", "owner=helm", "-o", "name"])
    });
    each.iter().flat_map(|names| names.lines().map(str::to_owned)).collect()
}

pub fn only_state_and_dying_keys_stay(world: &World) {
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
