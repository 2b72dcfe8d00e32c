//! A power cut in the middle of a real `terraform apply` of the real stacks: what was created and is in no state is
//! adopted by the next run, or deleted by a teardown, and nothing is created twice.

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    account::{Keys, OURS, account},
    checkout::Checkout,
    power_cut::children,
    world::{ends_with, text},
};

const PAYDEPLOY: &str = env!("CARGO_BIN_EXE_paydeploy");
const REGION: &str = "eu-south-2";

/// One region of a project that no other test uses.
struct Deployment {
    checkout: Checkout,
    project: &'static str,
    /// Of another team with access to the account.
    others: Keys,
}

impl Deployment {
    fn new(project: &'static str) -> Self {
        let checkout = Checkout::of_one_region(project);
        // Terraform saves its state only at its end, so that it does not depend on the machine's speed what a cut loses.
        let real = text(Command::new("sh").args(["-c", "command -v terraform"]));
        checkout.without_tool("terraform");
        let script = format!("TF_STATE_PERSIST_INTERVAL=3600 exec '{}' \"$@\"", real.trim());
        checkout.stand_in("terraform", "{\"terraform_version\": \"1.13.4\"}", &script);
        Self { checkout, project, others: account().user(&format!("auditor-of-{project}"), OURS) }
    }

    fn run(&self, args: &[&str]) -> String {
        ends_with(0, self.checkout.command(PAYDEPLOY).args(args))
    }

    /// How often a call has succeeded.
    fn calls(&self, action: &str) -> usize {
        let is_it = |call: &String| {
            let call: Value = serde_json::from_str(call).unwrap();
            call["action"] == action && call["status"].as_u64().is_some_and(|status| status < 300)
        };
        self.checkout.changes().iter().filter(|call| is_it(call)).count()
    }

    /// Applies the stacks, and kills paydeploy and everything that it has started as soon as a call has succeeded.
    fn cut_at(&self, action: &str) {
        self.cut_at_call(action, 1);
    }

    fn cut_at_call(&self, action: &str, number: usize) {
        let before = self.calls(action);
        let log = self.checkout.path("../log");
        let file = fs::File::create(&log).unwrap();
        let mut run = self.checkout.command(PAYDEPLOY);
        let mut run = run.args(["phase", "terraform"]).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        let started = Instant::now();
        while self.calls(action) < before + number {
            let log = fs::read_to_string(&log).unwrap();
            assert!(run.try_wait().unwrap().is_none(), "it ended without {action}: {log}");
            assert!(started.elapsed() < Duration::from_mins(10), "no {action}: {log}");
        }
        let groups = children(run.id()).into_iter().map(|child| format!("-{child}"));
        // All at once: the guard would interrupt terraform. Each child leads a process group. One that has just ended
        // has no group any more, which `kill` reports.
        Command::new("kill")
            .args(["-KILL", "--", &run.id().to_string()])
            .args(groups)
            .stderr(Stdio::null())
            .status()
            .unwrap();
        run.wait().unwrap();
    }

    /// The AWS CLI, with the other team's credentials.
    fn aws(&self, args: &[&str]) -> Value {
        account().aws(&self.others, REGION, args)
    }

    /// How many resources of each kind EC2 has with the project's tag.
    fn in_ec2(&self) -> BTreeMap<&'static str, usize> {
        let tag = format!("Name=tag:Project,Values={}", self.project);
        let count = |call: &'static str, list: &str, filter: &str| {
            let found = self.aws(&["ec2", call, filter, &tag]);
            // The sandbox's AWS ignores the filter for some kinds.
            let is_ours = |one: &Value| {
                let tags = one["Tags"].as_array().map(Vec::as_slice).unwrap_or_default();
                tags.iter().any(|tag| tag["Key"] == "Project" && tag["Value"] == self.project)
            };
            let found = found[list].as_array().unwrap().iter();
            (call, found.filter(|one| one["State"] != "deleted" && is_ours(one)).count())
        };
        [
            count("describe-vpcs", "Vpcs", "--filters"),
            count("describe-subnets", "Subnets", "--filters"),
            count("describe-internet-gateways", "InternetGateways", "--filters"),
            count("describe-addresses", "Addresses", "--filters"),
            count("describe-nat-gateways", "NatGateways", "--filter"),
            count("describe-route-tables", "RouteTables", "--filters"),
            count("describe-security-groups", "SecurityGroups", "--filters"),
            count("describe-vpc-endpoints", "VpcEndpoints", "--filters"),
        ]
        .into_iter()
        .collect()
    }

    /// How many keys of the project are enabled.
    fn keys(&self) -> usize {
        let description = format!("Encrypts all data at rest of {}-spain", self.project);
        let keys = self.aws(&["kms", "list-keys"]);
        let keys = keys["Keys"].as_array().unwrap().iter();
        let described = keys.map(|key| {
            self.aws(&["kms", "describe-key", "--key-id", key["KeyId"].as_str().unwrap()])["KeyMetadata"]
                .clone()
        });
        described.filter(|key| key["Description"] == description && key["KeyState"] == "Enabled").count()
    }

    /// A person creates an access entry by hand, and then lists its principal with the deployer.
    fn lists_an_administrator_whose_entry_exists(&self) {
        let cluster = format!("{}-spain", self.project);
        let mut all =
            self.aws(&["eks", "list-access-entries", "--cluster-name", &cluster])["accessEntries"].clone();
        let ana = self.aws(&["sts", "get-caller-identity"])["Arn"].as_str().unwrap().to_owned();
        self.aws(&["eks", "create-access-entry", "--cluster-name", &cluster, "--principal-arn", &ana]);
        // EKS itself has created that of the nodes.
        all.as_array_mut().unwrap().retain(|entry| entry.as_str().unwrap().contains(":user/"));
        all.as_array_mut().unwrap().push(ana.into());
        let file = "terraform/regions/spain.tfvars";
        let text = fs::read_to_string(self.checkout.path(file)).unwrap();
        self.checkout.write(file, &format!("{text}\nadministrator_arns = {all}\n"));
        self.checkout.commit("Ana deploys too");
        self.checkout.push();
    }

    /// How many entries of a list have the project's name in a field.
    fn named(&self, args: &[&str], list: &str, field: &str) -> usize {
        let found = self.aws(args);
        let is_ours = |one: &&Value| one[field].as_str().is_some_and(|name| name.contains(self.project));
        found[list].as_array().unwrap().iter().filter(is_ours).count()
    }
}

#[test]
fn what_a_killed_apply_created_is_adopted_and_nothing_is_created_twice() {
    let deployment = Deployment::new("adopted");
    deployment.cut_at("CreateNatGateway");
    // The records in the state bucket remain.
    fs::remove_dir_all(deployment.checkout.path(".paydeploy")).unwrap();
    deployment.cut_at("CreateNodegroup");
    let output = deployment.run(&["phase", "terraform"]);
    assert!(output.contains("✓ terraform/spain/cluster"), "{output}");

    let counts = deployment.in_ec2();
    let expected = [
        ("describe-addresses", 1),
        ("describe-internet-gateways", 1),
        ("describe-nat-gateways", 1),
        // Of the public subnets, of the private ones of each zone, and of the database.
        ("describe-route-tables", 5),
        ("describe-subnets", 9),
        ("describe-vpcs", 1),
    ];
    for (kind, count) in expected {
        assert_eq!(counts[kind], count, "{kind}: {counts:?}");
    }
    // Six of the stack, the network's default one, and the one that EKS creates for the cluster.
    assert_eq!(counts["describe-security-groups"], 8, "{counts:?}");
    assert_eq!(deployment.keys(), 1);
    let named = |args: &[&str], list, field| deployment.named(args, list, field);
    assert_eq!(named(&["secretsmanager", "list-secrets"], "SecretList", "Name"), 3);
    assert_eq!(named(&["acm", "list-certificates"], "CertificateSummaryList", "DomainName"), 1);
    let groups = named(&["rds", "describe-db-parameter-groups"], "DBParameterGroups", "DBParameterGroupName");
    assert_eq!(groups, 1);
    let templates = named(&["ec2", "describe-launch-templates"], "LaunchTemplates", "LaunchTemplateName");
    assert_eq!(templates, 2, "one per node group");
    for stack in ["foundation", "cluster", "database", "audit"] {
        let folder = deployment.checkout.path(".paydeploy/terraform/spain/stacks").join(stack);
        let imports = folder.join("paydeploy_imports.tf");
        assert!(!imports.exists(), "{stack}: the import blocks are deleted with the claim");
    }

    // Records and locks are written in any case.
    let but_s3 = || {
        let changes = deployment.checkout.changes();
        changes.into_iter().filter(|call| !call.contains("\"service\":\"s3\"")).collect::<Vec<_>>()
    };
    let before = but_s3();
    deployment.run(&["phase", "terraform"]);
    assert_eq!(but_s3(), before, "a second run changes nothing");
    let Keys { id, secret, .. } = &deployment.others;
    let mut by_another = deployment.checkout.command(PAYDEPLOY);
    by_another.args(["phase", "terraform"]).env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret);
    let refused = ends_with(6, &mut by_another);
    assert!(refused.contains("deployed before, and would lose its access to the cluster"), "{refused}");
    assert!(refused.contains("fix: list everyone who deploys in `administrator_arns`"), "{refused}");
    deployment.lists_an_administrator_whose_entry_exists();
    deployment.run(&["phase", "terraform"]);
    assert_eq!(deployment.calls("DeleteAccessEntry"), 0, "no access ends meanwhile");
    deployment.run(&["down", "--yes"]);
    assert_eq!(deployment.in_ec2()["describe-vpcs"], 0);
}

/// Cuts the power at a call, and deletes everything from there.
fn is_deleted_after_a_cut_at(action: &str, number: usize, project: &'static str) {
    let deployment = Deployment::new(project);
    deployment.cut_at_call(action, number);
    let output = deployment.run(&["down", "--yes"]);
    assert!(output.contains("outside the state"), "{output}");
    let counts = deployment.in_ec2();
    assert!(counts.values().all(|count| *count == 0), "{counts:?}");
    assert_eq!(deployment.keys(), 0, "{output}");
    let aliases = deployment.aws(&["kms", "list-aliases"])["Aliases"].to_string();
    assert!(!aliases.contains(&format!("\"alias/{project}-spain\"")), "{aliases}\n{output}");
    assert_eq!(deployment.named(&["secretsmanager", "list-secrets"], "SecretList", "Name"), 0);
}

#[test]
fn a_teardown_after_a_power_cut_deletes_what_is_in_no_state() {
    is_deleted_after_a_cut_at("CreateNatGateway", 1, "orphaned");
}

#[test]
fn a_teardown_after_a_power_cut_deletes_a_data_key_that_has_its_alias_already() {
    // The first alias is that of the state's key.
    is_deleted_after_a_cut_at("CreateAlias", 2, "named-key");
}
