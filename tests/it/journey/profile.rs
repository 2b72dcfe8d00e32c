//! The profile of a running system, changed in both directions.

use serde_json::Value;

use super::{NAMESPACE, REGIONS, release, section, verify::region_runs};
use crate::world::{World, ends_with};

const FILE: &str = "paydeploy.toml";

pub fn it_changes_both_ways_and_keeps_every_secret(world: &World) {
    let secrets = secrets(world);
    for (from, to) in [("staging", "production"), ("production", "staging")] {
        section(&format!("the profile changes from {from} to {to}: the secrets are kept"));
        world.edit(FILE, &format!("profile = \"{from}\""), &format!("profile = \"{to}\""));
        let commit = world.commit(&format!("the profile {to}"));
        let calls = world.last_call();
        let (code, events) = release::up(world, |_, _| ());
        assert_eq!(code, Some(0), "{events:#?}");
        for (region, ..) in REGIONS {
            let finished = |event: &&Value| release::is_about(event, "step-finished", "secrets", region);
            let finished = events.iter().find(finished).expect("every step finishes");
            assert_eq!(finished["verdict"]["kind"], "unchanged", "{finished}");
        }

        let replaced: Vec<String> = world
            .calls_since(calls)
            .into_iter()
            .filter(|call| call.contains("CreateSecret") || call.contains("DeleteSecret"))
            .collect();
        assert!(replaced.is_empty(), "secrets were created or deleted: {replaced:#?}");
        assert_eq!(self::secrets(world), secrets, "the same secrets hold the same values");

        for region in REGIONS {
            region_runs(world, region, &commit);
            follows_the_profile(world, region.0, region.1, to);
        }
        section(&format!("the profile {to}: no changes remain"));
        ends_with(0, &mut world.paydeploy(&["status", "--drift"]));
    }
}

/// The ARN of every secret of every region, with the ID of its current value.
fn secrets(world: &World) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (_, aws_region, _) in REGIONS {
        let listed = world.aws(aws_region, &["secretsmanager", "list-secrets"]);
        for secret in listed["SecretList"].as_array().unwrap() {
            let arn = secret["ARN"].as_str().unwrap();
            let described = world.aws(aws_region, &["secretsmanager", "describe-secret", "--secret-id", arn]);
            let versions = described["VersionIdsToStages"].as_object().unwrap();
            let is_current = |stages: &Value| stages.as_array().unwrap().contains(&"AWSCURRENT".into());
            let current =
                versions.iter().find(|(_, stages)| is_current(stages)).expect("the secret has a value");
            found.push((arn.to_owned(), current.0.clone()));
        }
    }
    assert_eq!(found.len(), 8, "api, app, migrator and master, in two regions");
    found.sort();
    found
}

/// What depends on the profile has changed: protection, redundancy and what the API reports.
fn follows_the_profile(world: &World, region: &str, aws_region: &str, profile: &str) {
    let is_production = profile == "production";
    let databases = world.aws(aws_region, &["rds", "describe-db-instances"]);
    assert_eq!(databases["DBInstances"][0]["DeletionProtection"], is_production, "{region}");

    let gateways = world.aws(aws_region, &["ec2", "describe-nat-gateways"]);
    let available = |gateway: &&Value| gateway["State"] == "available";
    let gateways = gateways["NatGateways"].as_array().unwrap().iter().filter(available).count();
    assert_eq!(gateways, if is_production { 3 } else { 1 }, "NAT gateways of {region}");

    let info = format!("/api/v1/namespaces/{NAMESPACE}/services/payment-latency-api:http/proxy/info");
    let info: Value = serde_json::from_str(&world.kubectl(region, &["get", "--raw", &info])).unwrap();
    assert_eq!(info["environment"], profile, "{info}");
}
