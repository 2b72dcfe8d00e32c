//! `down` in an account where AWS is simulated and Terraform is real: no cluster answers, as after a failure.

mod deployment;
mod left_behind;

use std::fs;

use serde_json::Value;

use self::{
    deployment::{Deployment, OLD_IMAGE, VARIABLES},
    left_behind::LeftBehind,
};
use crate::checkout::Checkout;

const REGION: &str = "eu-south-2";
const ALL_KINDS: [&str; 6] = ["cluster", "database", "logs", "registry", "secret", "storage"];

#[test]
fn a_teardown_needs_neither_git_nor_a_commit() {
    let checkout = Checkout::new();
    fs::remove_dir_all(checkout.path(".git")).unwrap();
    checkout.without_tool("git");
    let mut down = checkout.command(env!("CARGO_BIN_EXE_paydeploy"));
    let output = checkout.changed_nothing(0, down.args(["down", "--yes"]));
    assert!(output.contains("delete: nothing found"), "{output}");
}

/// AWS recommends a newer image than the nodes have, and the region's file does not say which one they should have.
fn nodes_are_not_replaced_by_themselves(deployment: &Deployment) {
    deployment.checkout.edit(VARIABLES, OLD_IMAGE, "");
    deployment.checkout.commit("the recommended image");
    deployment.checkout.push();
    let output = deployment.run(0, &["phase", "terraform"]);
    assert!(
        output.contains(
            "AWS recommends node image 1.35.0-20251112 in region `spain`, which has 1.35.0-20250101"
        ) && output.contains("fix: set `node_release_version = \"1.35.0-20251112\"` in the region's file"),
        "{output}"
    );
    assert!(output.contains("7 steps: 7 unchanged"), "a newer image replaces no nodes: {output}");
}

/// Tries without permission, and with all permissions except one.
fn a_teardown_that_is_not_allowed_changes_nothing(deployment: &Deployment) {
    let before = deployment.checkout.lasting_changes();
    let refused = deployment.down(6, &[], &[]);
    for expected in [
        "`module.database.aws_db_instance.this` is protected (database): its data, except for a final snapshot",
        "`module.trail.aws_s3_bucket.this` is protected (storage)",
        "`module.trail.aws_cloudtrail.this` is protected (trail)",
        "`module.cluster.aws_eks_cluster.this` is protected (cluster)",
        "`module.registry.aws_ecr_repository.this` is protected (registry)",
        "--allow-delete database",
        "protected resources would be deleted, so nothing was deleted",
    ] {
        assert!(refused.contains(expected), "`{expected}` is not in:\n{refused}");
    }
    assert!(!refused.contains("aws_kms_key"), "the data key outlives its stack: {refused}");
    let refused = deployment.down(6, &ALL_KINDS, &[]);
    assert!(
        refused.contains("is protected (trail)") && !refused.contains("is protected (database)"),
        "{refused}"
    );
    assert_eq!(deployment.checkout.lasting_changes(), before, "a refused teardown changes nothing");
}

/// A certificate cannot be deleted while something uses it.
fn a_certificate_that_others_use_stops_a_teardown_before_its_first_effect(
    deployment: &Deployment,
    left: &LeftBehind,
    allowed: &[&str],
) {
    let listener = left.use_certificate(deployment);
    let before = deployment.checkout.lasting_changes();
    let refused = deployment.down(1, allowed, &[]);
    assert!(refused.contains("is also used by") && refused.contains(left.others()), "{refused}");
    assert!(refused.contains("so nothing was deleted"), "{refused}");
    assert_eq!(deployment.checkout.lasting_changes(), before, "{refused}");
    deployment.aws(&["elbv2", "delete-listener", "--listener-arn", &listener]);
}

#[test]
fn production_is_deleted_only_as_allowed_without_leftovers_and_without_what_belongs_to_others() {
    // One deployment for all of it: creating one takes a minute, and two exceed the account's quota of addresses.
    let deployment = Deployment::new("teardown");
    // EKS created it again after it was deleted with an earlier cluster. The new cluster's stack creates its own.
    deployment.create_log_group();
    deployment.run(0, &["phase", "terraform"]);
    nodes_are_not_replaced_by_themselves(&deployment);
    a_teardown_that_is_not_allowed_changes_nothing(&deployment);
    let name = deployment.name();

    let left = LeftBehind::of(&deployment);

    // What belongs to others is reported, and never deleted.
    let foreign = deployment.interface("{Key=Name,Value=bastion}");
    let all: Vec<&str> = ALL_KINDS.into_iter().chain(["trail"]).collect();
    a_certificate_that_others_use_stops_a_teardown_before_its_first_effect(&deployment, &left, &all);
    let blocked = deployment.down(1, &all, &[]);
    let command =
        format!("aws ec2 delete-network-interface --region {REGION} --network-interface-id {foreign}");
    assert!(blocked.contains(&command) && blocked.contains("`bastion`"), "{blocked}");
    assert!(blocked.contains("contains resources that paydeploy did not create"), "{blocked}");
    assert_eq!(deployment.vpcs(&deployment.of_project()).len(), 1, "the network remains with what is in it");
    deployment.create_log_group();
    deployment.aws(&["ec2", "delete-network-interface", "--network-interface-id", &foreign]);

    // The same command continues.
    let deleted = deployment.down(0, &all, &["--output", "json"]);
    assert!(deployment.vpcs(&deployment.of_project()).is_empty());
    left.is_deleted(&deployment);

    // The data of the database remains readable.
    let find =
        ["rds", "describe-db-snapshots", "--db-instance-identifier", &name, "--snapshot-type", "manual"];
    let snapshot = deployment.aws(&find)["DBSnapshots"][0].clone();
    assert!(snapshot["DBSnapshotIdentifier"].as_str().unwrap().starts_with(&format!("{name}-final-")));
    let key = snapshot["KmsKeyId"].as_str().expect("it is encrypted");
    let key = deployment.aws(&["kms", "describe-key", "--key-id", key]);
    assert_eq!(key["KeyMetadata"]["KeyState"], "Enabled", "{key}");

    // The inventory says why each remaining resource is kept.
    let taken =
        deleted.lines().find(|line| line.contains("\"inventory-taken\"")).expect("there is an inventory");
    let taken: Value = serde_json::from_str(taken).unwrap();
    let remaining = taken["remaining"].as_array().unwrap();
    let reason = |part: &str| {
        let found = remaining.iter().find(|one| one["resource"].as_str().unwrap().contains(part));
        found.unwrap_or_else(|| panic!("`{part}` is not in {remaining:#?}"))["reason"].clone()
    };
    assert_eq!(reason("tfstate"), "the history of the Terraform state");
    let final_snapshot = format!("encrypts snapshot {}", snapshot["DBSnapshotIdentifier"].as_str().unwrap());
    let is_data_key = |one: &&Value| one["reason"].as_str().unwrap().starts_with(&final_snapshot);
    let data_key = remaining.iter().find(is_data_key).unwrap_or_else(|| panic!("{remaining:#?}"));
    assert!(data_key["resource"].as_str().unwrap().contains(":key/"), "{data_key}");
    assert!(data_key["reason"].as_str().unwrap().contains(", automated backup arn:aws:rds:"), "{data_key}");
    assert!(remaining.iter().all(|one| one["fix"].is_null()), "{remaining:#?}");

    let again = deployment.down(0, &[], &[]);
    assert!(again.contains("delete: nothing found"), "{again}");
}
