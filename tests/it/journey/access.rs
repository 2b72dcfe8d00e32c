//! Access to the clusters, and regions that are no longer configured.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use super::{MEXICO, REGIONS, section};
use crate::world::{World, ends_with, printed, text};

pub fn tokens_of_the_aws_cli_and_paydeploy_are_interchangeable(world: &World) {
    section("tokens of the AWS CLI and of paydeploy: both authenticate as the same user");
    for (region, aws_region, _) in REGIONS {
        let name = format!("payment-latency-api-{region}");
        let theirs = world.aws(aws_region, &["eks", "get-token", "--cluster-name", &name]);
        let ours = ["token", "--cluster", &name, "--aws-region", aws_region];
        let ours: Value = serde_json::from_str(&text(&mut world.paydeploy(&ours))).unwrap();
        for field in ["apiVersion", "kind"] {
            assert_eq!(ours[field], theirs[field]);
        }
        let by_file = world.own_kubectl(region, &["auth", "whoami", "-o", "json"]);
        let user = |token: &Value| {
            let token = token["status"]["token"].as_str().unwrap();
            let cluster = &world.aws(aws_region, &["eks", "describe-cluster", "--name", &name])["cluster"];
            let folder = tempfile::tempdir().unwrap();
            let ca = folder.path().join("ca.crt");
            let data = cluster["certificateAuthority"]["data"].as_str().unwrap();
            let decode =
                Command::new("sh").args(["-c", "printf %s \"$0\" | base64 -d", data]).output().unwrap();
            fs::write(&ca, decode.stdout).unwrap();
            let mut kubectl = Command::new("kubectl");
            kubectl.env("KUBECONFIG", "/dev/null").args(["--token", token, "auth", "whoami", "-o", "json"]);
            kubectl
                .args(["--server", cluster["endpoint"].as_str().unwrap(), "--certificate-authority"])
                .arg(&ca);
            let who: Value = serde_json::from_str(&text(&mut kubectl)).unwrap();
            who["status"]["userInfo"]["username"].clone()
        };
        let by_file: Value = serde_json::from_str(&by_file).unwrap();
        assert_eq!(user(&ours), user(&theirs));
        assert_eq!(user(&ours), by_file["status"]["userInfo"]["username"]);
    }
}

pub fn a_region_that_is_no_longer_configured_is_shown(world: &World) {
    section("a region that is deployed but no longer configured");
    let folder = tempfile::tempdir().unwrap();
    let clone = folder.path().join("clone");
    text(Command::new("git").args(["clone", "--quiet"]).arg(&world.workspace).arg(&clone));
    remove_mexico(&clone);
    let output = ends_with(3, &mut World::paydeploy_in(&clone, &["status"]));
    assert!(output.contains("orphan") && output.contains("mexico"), "the region is named");
}

/// Removes a region from the configuration in a clone.
pub fn remove_mexico(clone: &Path) {
    let file = clone.join("paydeploy.toml");
    let config = fs::read_to_string(&file).unwrap();
    let (kept, _) = config.split_once("[regions.mexico]").unwrap();
    fs::write(&file, kept.replace("order = [\"spain\", \"mexico\"]", "order = [\"spain\"]")).unwrap();
}

pub fn lost_access_is_reported_and_restored(world: &World) {
    section("a deleted access entry: reported, and restored by up");
    let (region, aws_region, _) = MEXICO;
    let cluster = format!("payment-latency-api-{region}");
    let caller = world.aws(aws_region, &["sts", "get-caller-identity"])["Arn"].clone();
    let caller = caller.as_str().unwrap();
    let delete = ["eks", "delete-access-entry", "--cluster-name", &cluster, "--principal-arn", caller];
    world.aws(aws_region, &delete);
    let refused = world.paydeploy(&["status", "--region", region]).output().unwrap();
    let output = printed(&refused);
    println!("{output}");
    assert_ne!(refused.status.code(), Some(0));
    assert!(
        output.contains(&cluster) && output.contains("access entry"),
        "the cluster and the fix are named"
    );
    ends_with(0, &mut world.paydeploy(&["up"]));
    ends_with(0, &mut world.paydeploy(&["status"]));
}
