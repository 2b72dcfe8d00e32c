//! The checkout and the machine: tools, commit, repository, chart, variables.

use std::fs;

use super::{COMMANDS, PREFLIGHT, assert_contains};
use crate::checkout::Checkout;

#[test]
fn a_missing_tool_is_reported_with_its_source() {
    for (tool, source) in [("terraform", "developer.hashicorp.com"), ("helm", "helm.sh/docs")] {
        let checkout = Checkout::new();
        checkout.without_tool(tool);
        let output = checkout.refused(PREFLIGHT, &["up"]);
        assert_contains(
            &output,
            &[&format!("`{tool}` is not on PATH"), &format!("fix: install {tool}"), source],
        );
    }
}

#[test]
fn an_old_tool_is_reported_with_the_required_version() {
    let checkout = Checkout::new();
    checkout.tool("terraform", "{\"terraform_version\": \"1.9.8\"}");
    let output = checkout.refused(PREFLIGHT, &["up"]);
    assert_contains(&output, &["`terraform` 1.9.8 is too old", "fix: install terraform 1.10.0 or later"]);
    checkout.tool("terraform", "{\"terraform_version\": \"1.10.0\"}");
    checkout.tool("helm", "v3.13.3");
    let output = checkout.refused(PREFLIGHT, &["up"]);
    assert_contains(&output, &["`helm` 3.13.3 is too old", "fix: install helm 3.14.0 or later"]);
}

#[test]
fn uncommitted_files_are_named() {
    let checkout = Checkout::new();
    checkout.edit("terraform/regions/mexico.tfvars", "db.t4g.micro", "db.t4g.small");
    checkout.write("notes.md", "to be written\n");
    let output = checkout.refused(PREFLIGHT, &["up"]);
    assert_contains(
        &output,
        &["the work tree has uncommitted changes: terraform/regions/mexico.tfvars, notes.md"],
    );
    assert_contains(&output, &["fix: commit or stash them", ".gitignore"]);
    let flags = ["--region", "spain", "--allow-replace", "aws_kms_key.this[0]"];
    let output = checkout.refused(PREFLIGHT, &[&["up"], &flags[..]].concat());
    assert_contains(
        &output,
        &["then: paydeploy up --region spain --allow-replace 'aws_kms_key.this[0]'     (finished"],
    );
    let output = checkout.refused(PREFLIGHT, &[&["plan"], &flags[..2]].concat());
    assert_contains(&output, &["then: paydeploy plan --region spain\n"]);
}

#[test]
fn an_unpushed_commit_is_reported_with_the_repository() {
    let checkout = Checkout::new();
    checkout.git(&["commit", "--quiet", "--allow-empty", "--message", "not pushed"]);
    let head = checkout.git(&["rev-parse", "HEAD"]);
    let output = checkout.refused(PREFLIGHT, &["up"]);
    assert_contains(
        &output,
        &[&format!("origin.git` does not contain commit {}", &head[..7]), "fix: push it first"],
    );
}

#[test]
fn an_unreadable_repository_is_reported_with_its_key() {
    let checkout = Checkout::new();
    checkout.edit("paydeploy.toml", "origin.git", "nowhere.git");
    checkout.commit("a wrong repository");
    checkout.push();
    assert_contains(
        &checkout.refused(PREFLIGHT, &["up"]),
        &["nowhere.git", "check `gitops.repository` in paydeploy.toml"],
    );
}

#[test]
fn a_folder_outside_a_repository_is_reported() {
    let checkout = Checkout::new();
    fs::remove_dir_all(checkout.path(".git")).unwrap();
    for command in COMMANDS.into_iter().filter(|command| command[0] != "down") {
        assert_contains(
            &checkout.refused(PREFLIGHT, command),
            &["failed to find the commit of", "run it in a clone"],
        );
    }
}

#[test]
fn a_chart_that_is_missing_in_the_commit_is_reported_with_its_key() {
    let checkout = Checkout::new();
    fs::remove_file(checkout.path("charts/payment-latency-api/Chart.yaml")).unwrap();
    checkout.commit("no chart");
    checkout.push();
    let output = checkout.refused(PREFLIGHT, &["up"]);
    assert_contains(
        &output,
        &["has no chart in `charts/payment-latency-api`", "fix: set `gitops.chart` in paydeploy.toml"],
    );
}

#[test]
fn a_typo_in_a_regions_variables_has_a_suggestion() {
    let checkout = Checkout::new();
    checkout.edit("terraform/regions/spain.tfvars", "db_instance_class", "db_instance_clas");
    checkout.commit("a typo");
    checkout.push();
    let output = checkout.refused(PREFLIGHT, &["up"]);
    assert_contains(
        &output,
        &["terraform/regions/spain.tfvars` sets `db_instance_clas`, which no stack declares"],
    );
    assert_contains(&output, &["did you mean `db_instance_class`?"]);
}

#[test]
fn a_phase_names_the_earlier_phases_that_are_missing() {
    let checkout = Checkout::new();
    for phase in ["kubeconfig", "docker", "helm-deps", "secrets", "argocd", "apps"] {
        let output = checkout.refused(PREFLIGHT, &["phase", phase]);
        assert_contains(&output, &["missing: terraform/spain/state", "missing: terraform/mexico/state"]);
        assert_contains(&output, &["fix: run `paydeploy phase terraform` first, or `paydeploy up`"]);
    }
    // What the hub lacks is created in the hub; the rest stays limited to the given region.
    let output = checkout.refused(PREFLIGHT, &["phase", "apps", "--region", "mexico"]);
    assert_contains(
        &output,
        &["run `paydeploy phase terraform --region spain` first, or `paydeploy up --region mexico`"],
    );
    assert_contains(
        &output,
        &["run `paydeploy phase terraform --region mexico` first, or `paydeploy up --region mexico`"],
    );
}
