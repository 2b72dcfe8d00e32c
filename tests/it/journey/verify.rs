//! Checks from outside, never through the program under test.

use std::{fs, process::Command};

use serde_json::{Value, json};

use super::{NAMESPACE, REGIONS, Region};
use crate::world::World;

/// Checks with a user's other tools that the region runs the release of `commit`.
pub fn region_runs(world: &World, (region, aws_region, domain): Region, commit: &str) {
    let name = format!("payment-latency-api-{region}");
    let cluster = world.aws(aws_region, &["eks", "describe-cluster", "--name", &name]);
    assert_eq!(cluster["cluster"]["status"], "ACTIVE");

    let nodes = world.kubectl_json(region, &["get", "nodes"]);
    assert_eq!(nodes["items"].as_array().unwrap().len(), 2, "one system node and one application node");

    let tag = format!("imageTag={commit}");
    let repository =
        ["ecr", "describe-images", "--repository-name", "payment-latency-api", "--image-ids", &tag];
    let image = world.aws(aws_region, &repository)["imageDetails"][0].clone();
    let digest = image["imageDigest"].as_str().unwrap().to_owned();
    assert!(image["imageSizeInBytes"].as_u64().unwrap() < 8_000_000, "{image}");
    let pods = world
        .kubectl_json(region, &["-n", NAMESPACE, "get", "pods", "-l", "app.kubernetes.io/component=api"]);
    // Pods that a rollout is terminating do not count.
    let remains = |pod: &&Value| pod["metadata"].get("deletionTimestamp").is_none();
    let pods: Vec<&Value> = pods["items"].as_array().unwrap().iter().filter(remains).collect();
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

/// No secret's value is in the logs and journals of `.paydeploy`.
pub fn no_secret_is_in_the_state_folder(world: &World) {
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

/// Every revision of every Helm release, in every region.
pub fn helm_releases(world: &World) -> Vec<String> {
    let each = REGIONS.map(|(region, ..)| {
        world.kubectl(region, &["get", "secrets", "-A", "-l", "owner=helm", "-o", "name"])
    });
    each.iter().flat_map(|names| names.lines().map(str::to_owned)).collect()
}

pub fn only_state_buckets_and_pending_keys_remain(world: &World) {
    let inventory = world.inventory();
    let resources = inventory.as_array().expect("the inventory is a list");
    let is_state_alias = |alias: &Value| {
        alias["id"].as_str().is_some_and(|id| id.starts_with("alias/") && id.ends_with("-state"))
    };
    let of_state: Vec<&Value> =
        resources.iter().filter(|resource| is_state_alias(resource)).map(|alias| &alias["of"]).collect();
    let may_remain = |resource: &Value| match resource["service"].as_str() {
        Some("s3") => {
            resource["id"].as_str().is_some_and(|name| name.starts_with("payment-latency-api-tfstate-"))
        }
        Some("kms") => {
            resource["state"] == "PendingDeletion"
                || is_state_alias(resource)
                || of_state.contains(&&resource["id"])
        }
        _ => false,
    };
    let leaked: Vec<&Value> = resources.iter().filter(|resource| !may_remain(resource)).collect();
    assert!(leaked.is_empty(), "leftovers: {leaked:#?}");
    assert!(!resources.is_empty(), "the state buckets remain");
    let runs = fs::read_dir(world.workspace.join(".paydeploy/runs")).unwrap().count();
    assert!(runs > 5, "the journals of the runs remain");
}
