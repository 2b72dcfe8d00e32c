//! A production deployment of one region, and the account around it as others see it.

use std::fs;

use serde_json::Value;

use super::REGION;
use crate::{
    account::{Keys, OURS, account},
    checkout::Checkout,
    world::ends_with,
};

pub const VARIABLES: &str = "terraform/regions/spain.tfvars";
/// An older release of the nodes' image than AWS recommends.
pub const OLD_IMAGE: &str = "node_release_version = \"1.35.0-20250101\"";

/// A project with one region, in production, of which nothing exists yet.
pub struct Deployment {
    pub checkout: Checkout,
    pub project: &'static str,
    /// Of another team with access to the account.
    others: Keys,
}

impl Deployment {
    pub fn new(project: &'static str) -> Self {
        let checkout = Checkout::of_one_region(project);
        checkout.edit("paydeploy.toml", "profile = \"staging\"", "profile = \"production\"");
        let variables = fs::read_to_string(checkout.path(VARIABLES)).unwrap();
        fs::write(checkout.path(VARIABLES), format!("{variables}\n{OLD_IMAGE}\n")).unwrap();
        checkout.commit("one region in production");
        checkout.push();
        Self { checkout, project, others: account().user("platform-team", OURS) }
    }

    pub fn run(&self, code: i32, args: &[&str]) -> String {
        ends_with(code, self.checkout.command(env!("CARGO_BIN_EXE_paydeploy")).args(args))
    }

    pub fn down(&self, code: i32, kinds: &[&str], more: &[&str]) -> String {
        let flags = kinds.iter().flat_map(|kind| ["--allow-delete", *kind]);
        let args: Vec<&str> =
            ["down", "--yes"].into_iter().chain(flags).chain(more.iter().copied()).collect();
        self.run(code, &args)
    }

    /// The AWS CLI, with the other team's credentials.
    pub fn aws(&self, args: &[&str]) -> Value {
        account().aws(&self.others, REGION, args)
    }

    pub fn name(&self) -> String {
        format!("{}-spain", self.project)
    }

    /// A filter for what has the deployment's tag.
    pub fn of_project(&self) -> String {
        format!("Name=tag:Project,Values={}", self.project)
    }

    /// The ids of the networks that a filter selects.
    pub fn vpcs(&self, filter: &str) -> Vec<String> {
        let found = self.aws(&["ec2", "describe-vpcs", "--filters", filter]);
        ids(&found["Vpcs"], "VpcId")
    }

    pub fn subnets(&self, vpc: &str) -> Vec<String> {
        let filter = format!("Name=vpc-id,Values={vpc}");
        let found = self.aws(&["ec2", "describe-subnets", "--filters", &filter]);
        ids(&found["Subnets"], "SubnetId")
    }

    /// A network interface in the deployment's network.
    pub fn interface(&self, tags: &str) -> String {
        let specification = format!("ResourceType=network-interface,Tags=[{tags}]");
        let subnet = self.subnets(&self.vpcs(&self.of_project())[0])[0].clone();
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

    /// The log group of the cluster, as EKS names it.
    pub fn log_group(&self) -> String {
        format!("/aws/eks/{}/cluster", self.name())
    }

    pub fn create_log_group(&self) {
        self.aws(&["logs", "create-log-group", "--log-group-name", &self.log_group()]);
    }

    pub fn record(&self, zone: &str, kind: &str, name: &str, value: &str) {
        let batch = serde_json::json!({ "Changes": [{ "Action": "CREATE", "ResourceRecordSet": {
            "Name": name, "Type": kind, "TTL": 60, "ResourceRecords": [{ "Value": value }],
        } }] });
        let batch = batch.to_string();
        let change =
            ["route53", "change-resource-record-sets", "--hosted-zone-id", zone, "--change-batch", &batch];
        self.aws(&change);
    }

    pub fn records(&self, zone: &str) -> String {
        self.aws(&["route53", "list-resource-record-sets", "--hosted-zone-id", zone]).to_string()
    }

    pub fn zone(&self) -> String {
        let zones = self.aws(&["route53", "list-hosted-zones"]);
        let zones = zones["HostedZones"].as_array().unwrap().iter();
        let ours = zones.filter(|zone| zone["Name"] == "payments.example.");
        ours.map(|zone| zone["Id"].as_str().unwrap().to_owned()).next().unwrap()
    }
}

fn ids(list: &Value, key: &str) -> Vec<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|one| one[key].as_str().unwrap().to_owned()).collect()
}
