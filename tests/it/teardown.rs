//! `down` in an account where AWS is simulated and Terraform is real: no cluster answers, as after a failure.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    account::{Keys, OURS, account},
    checkout::Checkout,
    world::{ends_with, text},
};

const REGION: &str = "eu-south-2";
const ALL_KINDS: [&str; 6] = ["cluster", "database", "logs", "registry", "secret", "storage"];

/// A production deployment of one region, which only its Terraform phase has created.
struct Deployment {
    checkout: Checkout,
    project: &'static str,
    /// Of another team with access to the account.
    others: Keys,
}

impl Deployment {
    fn new(project: &'static str) -> Self {
        let checkout = Checkout::of_one_region(project);
        checkout.edit("paydeploy.toml", "profile = \"staging\"", "profile = \"production\"");
        checkout.commit("one region in production");
        checkout.push();
        let deployment = Self { checkout, project, others: account().user("platform-team", OURS) };
        deployment.run(0, &["phase", "terraform"]);
        deployment
    }

    fn run(&self, code: i32, args: &[&str]) -> String {
        ends_with(code, self.checkout.command(env!("CARGO_BIN_EXE_paydeploy")).args(args))
    }

    fn down(&self, code: i32, kinds: &[&str], more: &[&str]) -> String {
        let flags = kinds.iter().flat_map(|kind| ["--allow-delete", *kind]);
        let args: Vec<&str> =
            ["down", "--yes"].into_iter().chain(flags).chain(more.iter().copied()).collect();
        self.run(code, &args)
    }

    /// The AWS CLI, with the other team's credentials.
    fn aws(&self, args: &[&str]) -> Value {
        let mut aws = Command::new("aws");
        aws.env("AWS_ACCESS_KEY_ID", &self.others.id).env("AWS_SECRET_ACCESS_KEY", &self.others.secret);
        aws.args(["--endpoint-url", &account().endpoint, "--region", REGION, "--output", "json"]);
        let out = text(aws.args(args));
        if out.trim().is_empty() { Value::Null } else { serde_json::from_str(&out).unwrap() }
    }

    fn name(&self) -> String {
        format!("{}-spain", self.project)
    }

    /// A filter for what has the deployment's tag.
    fn of_project(&self) -> String {
        format!("Name=tag:Project,Values={}", self.project)
    }

    fn subnet(&self) -> String {
        let found = self.aws(&["ec2", "describe-subnets", "--filters", &self.of_project()]);
        found["Subnets"][0]["SubnetId"].as_str().unwrap().to_owned()
    }

    fn vpcs(&self) -> usize {
        let found = self.aws(&["ec2", "describe-vpcs", "--filters", &self.of_project()]);
        found["Vpcs"].as_array().unwrap().len()
    }

    fn interface(&self, tags: &str) -> String {
        let specification = format!("ResourceType=network-interface,Tags=[{tags}]");
        let subnet = self.subnet();
        let create = [
            "ec2",
            "create-network-interface",
            "--subnet-id",
            &subnet,
            "--tag-specifications",
            &specification,
        ];
        self.aws(&create)["NetworkInterface"]["NetworkInterfaceId"].as_str().unwrap().to_owned()
    }

    fn record(&self, zone: &str, kind: &str, name: &str, value: &str) {
        let batch = serde_json::json!({ "Changes": [{ "Action": "CREATE", "ResourceRecordSet": {
            "Name": name, "Type": kind, "TTL": 60, "ResourceRecords": [{ "Value": value }],
        } }] });
        let batch = batch.to_string();
        let change =
            ["route53", "change-resource-record-sets", "--hosted-zone-id", zone, "--change-batch", &batch];
        self.aws(&change);
    }

    fn records(&self, zone: &str) -> String {
        self.aws(&["route53", "list-resource-record-sets", "--hosted-zone-id", zone]).to_string()
    }

    fn zone(&self) -> String {
        let zones = self.aws(&["route53", "list-hosted-zones"]);
        let zones = zones["HostedZones"].as_array().unwrap().iter();
        let ours = zones.filter(|zone| zone["Name"] == "payments.example.");
        ours.map(|zone| zone["Id"].as_str().unwrap().to_owned()).next().unwrap()
    }
}

#[test]
fn a_teardown_needs_neither_git_nor_a_commit() {
    let checkout = Checkout::new();
    fs::remove_dir_all(checkout.path(".git")).unwrap();
    checkout.without_tool("git");
    let mut down = checkout.command(env!("CARGO_BIN_EXE_paydeploy"));
    let output = checkout.changed_nothing(0, down.args(["down", "--yes"]));
    assert!(output.contains("delete: nothing found"), "{output}");
}

/// Tries without permission, and with all permissions except one.
fn a_teardown_that_is_not_allowed_changes_nothing(deployment: &Deployment) {
    let before = deployment.checkout.changes();
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
    assert_eq!(deployment.checkout.changes(), before, "a refused teardown changes nothing");
}

#[test]
fn production_is_deleted_only_as_allowed_without_leftovers_and_without_what_belongs_to_others() {
    // One deployment for all of it: creating one takes a minute, and two exceed the account's quota of addresses.
    let deployment = Deployment::new("teardown");
    a_teardown_that_is_not_allowed_changes_nothing(&deployment);
    let name = deployment.name();

    // What controllers, nodes and AWS left behind, in nobody's state.
    let leaked = deployment.interface(&format!("{{Key=cluster.k8s.amazonaws.com/name,Value={name}}}"));
    let zone = deployment.zone();
    let host = format!("{}.payments.example", deployment.project);
    let owner = |owner: &str| format!("\"heritage=external-dns,external-dns/owner={owner}\"");
    deployment.record(&zone, "A", &host, "192.0.2.1");
    deployment.record(&zone, "TXT", &format!("a-{host}"), &owner(&name));
    deployment.record(&zone, "A", &format!("other-{host}"), "192.0.2.2");
    deployment.record(&zone, "TXT", &format!("a-other-{host}"), &owner("another-cluster"));

    // What belongs to others is reported, and never deleted.
    let foreign = deployment.interface("{Key=Name,Value=bastion}");
    let all: Vec<&str> = ALL_KINDS.into_iter().chain(["trail"]).collect();
    let blocked = deployment.down(1, &all, &[]);
    let command =
        format!("aws ec2 delete-network-interface --region {REGION} --network-interface-id {foreign}");
    assert!(blocked.contains(&command) && blocked.contains("`bastion`"), "{blocked}");
    assert!(blocked.contains("contains resources that paydeploy did not create"), "{blocked}");
    assert_eq!(deployment.vpcs(), 1, "the network remains with what is in it");
    let group = format!("/aws/eks/{name}/cluster");
    deployment.aws(&["logs", "create-log-group", "--log-group-name", &group]);
    deployment.aws(&["ec2", "delete-network-interface", "--network-interface-id", &foreign]);

    // The same command continues.
    let deleted = deployment.down(0, &all, &["--output", "json"]);
    assert_eq!(deployment.vpcs(), 0);
    let interfaces = deployment.aws(&["ec2", "describe-network-interfaces"]).to_string();
    assert!(!interfaces.contains(&leaked), "the network plugin's interface is deleted");
    let records = deployment.records(&zone);
    assert!(!records.contains(&format!("\"{host}.\"")), "{records}");
    assert!(records.contains(&format!("\"other-{host}.\"")), "another cluster's record remains: {records}");
    let groups = deployment.aws(&["logs", "describe-log-groups", "--log-group-name-prefix", &group]);
    assert_eq!(groups["logGroups"], Value::Array(Vec::new()), "the log group that came back is deleted");

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
