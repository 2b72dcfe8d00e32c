//! What a region does not offer, seen from outside: `paydeploy` lists all of it with fixes before it creates anything.
//! Each test has an AWS region of its own, because what the simulated AWS offers is changed per region.

use serde_json::{Value, json};

use crate::{
    account::account,
    checkout::Checkout,
    support::{PREFLIGHT, assert_contains},
};

/// A clone whose region `spain` is in another AWS region, which offers what `change` says.
fn in_region(aws_region: &str, mut change: Value) -> Checkout {
    change["region"] = aws_region.into();
    account().change_offers(&change);
    let checkout = Checkout::new();
    checkout.edit("paydeploy.toml", "eu-south-2", aws_region);
    checkout.commit("to another region");
    checkout.push();
    checkout
}

#[test]
fn missing_quotas_are_listed_with_the_commands_that_request_them() {
    let quotas = json!({ "L-0263D0A3": 0, "L-F678F1CE": 1, "L-1216C47A": 5 });
    let checkout = in_region("eu-west-1", json!({ "quotas": quotas }));
    for command in [&["up"][..], &["plan"]] {
        let output = checkout.refused(PREFLIGHT, command);
        assert_contains(
            &output,
            &[
                "3 checks failed",
                "region `spain`: not enough Elastic IP addresses (one per NAT gateway): 1 needed, 0 in use by others",
                "--region eu-west-1 --service-code ec2 --quota-code L-0263D0A3 --desired-value 1`",
                // Every account has a default VPC.
                "region `spain`: not enough VPCs: 1 needed, 1 in use by others, `eu-west-1` allows 1",
                "--service-code vpc --quota-code L-F678F1CE --desired-value 2`",
                "region `spain`: not enough vCPUs (with all nodes of standard types and a rolling update): 42 needed",
                "--quota-code L-1216C47A --desired-value 42`",
                "instance types for `system_nodes` or `application_nodes` in `terraform/regions/spain.tfvars`",
            ],
        );
        assert!(!output.contains("region `mexico`"), "{output}");
    }
}

#[test]
fn an_endpoint_that_a_region_does_not_offer_is_reported_before_anything_is_created() {
    let services = json!({ "com.amazonaws.eu-central-1.sts": [] });
    let checkout = in_region("eu-central-1", json!({ "endpoint_services": services }));
    let output = checkout.refused(PREFLIGHT, &["up"]);
    assert_contains(
        &output,
        &[
            "region `spain`: a VPC endpoint for `sts` is not offered in `eu-central-1`",
            "fix: set `interface_endpoints = [\"ecr.api\", \"ecr.dkr\", \"secretsmanager\"]` in `terraform/regions/spain.tfvars`",
        ],
    );
}

#[test]
fn instance_class_and_version_that_a_region_lacks_are_listed_together() {
    let offers = json!({
        "instance_types": { "t3.medium": ["euw2-az1", "euw2-az2"] },
        "database_classes": { "db.t4g.micro": ["16"] },
        "addons": { "coredns": ["v1.13.1-eksbuild.1"] },
    });
    let checkout = in_region("eu-west-2", offers);
    let output = checkout.refused(PREFLIGHT, &["up"]);
    assert_contains(
        &output,
        &[
            "4 checks failed",
            "region `spain`: `t3.medium` (`system_nodes`) is not offered in euw2-az3 (",
            "region `spain`: `t3.medium` (`application_nodes`) is not offered in euw2-az3 (",
            "region `spain`: EKS does not offer the add-on `coredns` v",
            "`addon_versions` in `terraform/regions/spain.tfvars` to v1.13.1-eksbuild.1, the default, or",
            "region `spain`: RDS in `eu-west-2` does not offer `db.t4g.micro` with PostgreSQL 17",
            "fix: choose another `db_instance_class` in `terraform/regions/spain.tfvars`",
        ],
    );
}

#[test]
fn a_kubernetes_version_that_eks_does_not_offer_is_reported_with_those_that_it_offers() {
    let checkout = in_region("eu-west-3", json!({ "kubernetes": { "1.35": null } }));
    let output = checkout.refused(PREFLIGHT, &["up"]);
    assert_contains(
        &output,
        &[
            "region `spain`: EKS in `eu-west-3` does not offer Kubernetes 1.35, only 1.32, 1.33, 1.34",
            "fix: set `kubernetes_version` in `terraform/regions/spain.tfvars` to one of them",
        ],
    );
    assert!(!output.contains("does not offer the add-on"), "the cause is the version: {output}");
}

#[test]
fn versions_in_extended_support_are_warnings_with_date_and_price() {
    let ended = json!({ "standard": "2026-01-02", "extended": "2099-03-04" });
    let offers = json!({ "kubernetes": { "1.35": ended }, "postgres": { "17": ended } });
    let checkout = in_region("us-east-2", offers);
    // A warning stops nothing; the uncommitted file does.
    checkout.write("notes.md", "");
    let output = checkout.refused(PREFLIGHT, &["up"]);
    assert_contains(
        &output,
        &[
            "warning: region `spain`: standard support of Kubernetes 1.35 ended on 2026-01-02",
            "0.60 instead of 0.10 USD per hour",
            "`cluster_support_type = \"EXTENDED\"`",
            "warning: region `spain`: standard support of PostgreSQL 17 ended on 2026-01-02",
            "until 2099-03-04",
        ],
    );
    assert!(!output.contains("checks failed"), "{output}");
}

#[test]
fn credentials_that_may_not_read_quotas_are_a_warning() {
    let checkout = in_region("ca-central-1", json!({ "quotas": { "L-0263D0A3": 0 } }));
    account().add_fault(&json!({
        "service": "servicequotas", "region": "ca-central-1", "count": null,
        "status": 400, "code": "AccessDeniedException", "message": "not authorized to perform: GetServiceQuota",
    }));
    // A warning stops nothing; the uncommitted file does.
    checkout.write("notes.md", "");
    let output = checkout.refused(PREFLIGHT, &["up"]);
    assert_contains(
        &output,
        &[
            "warning: region `spain`: not checked",
            "not authorized to perform: GetServiceQuota",
            "servicequotas",
        ],
    );
    assert!(!output.contains("checks failed") && !output.contains("Elastic IP"), "{output}");
}

#[test]
fn a_region_that_offers_everything_passes() {
    let checkout = in_region("us-west-2", json!({}));
    // Only the uncommitted file is wrong.
    checkout.write("notes.md", "");
    let output = checkout.refused(PREFLIGHT, &["up"]);
    assert!(!output.contains("region `"), "{output}");
}
