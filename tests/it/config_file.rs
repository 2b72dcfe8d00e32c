//! A wrong `paydeploy.toml` is refused with the place and the fix of every problem, and nothing is touched.

use std::fs;

use crate::support::{CONFIG, Workspace, stderr};

/// What `status` prints about a configuration; it must refuse it with exit code 2.
fn refused(config: &str) -> String {
    let workspace = Workspace::with(config);
    let output = stderr(&workspace.paydeploy().arg("status").assert().code(2));
    assert!(!workspace.path().join(".paydeploy").exists(), "a refused configuration leaves nothing behind");
    output.replace(&format!("{}/", workspace.path().display()), "")
}

fn changed(from: &str, to: &str) -> String {
    assert!(CONFIG.contains(from), "{from}");
    refused(&CONFIG.replacen(from, to, 1))
}

#[test]
fn all_problems_of_a_file_are_reported_together_each_with_its_line() {
    let config = CONFIG
        .replace("profile = \"staging\"", "profile = \"prod\"\ncolour = \"red\"")
        .replace("role = \"spoke\"", "role = 7");
    insta::assert_snapshot!(refused(&config), @r"
    error: 3 problems in `paydeploy.toml`
      line 3: `profile`: `prod` is not one of `staging`, `production`
      line 4: `colour`: unknown key; known here: `account`, `addons`, `gitops`, `image`, `preflight`, `profile`, `project`, `regions`, `rollout`, `terraform`
      line 42: `regions.mexico.role`: integer is not one of `hub`, `spoke`
    ");
}

#[test]
fn an_unknown_key_hides_no_other_problem() {
    let config = CONFIG
        .replace("stacks = \"stacks\"", "stacks = \"stacks\"\nparallelism = 7")
        .replace("role = \"spoke\"", "role = \"hub\"\ncolour = \"red\"")
        .replace("version = \"9.1.0\"", "version = \"9.1\"");
    insta::assert_snapshot!(refused(&config), @r"
    error: 4 problems in `paydeploy.toml`
      line 7: `terraform.parallelism`: unknown key; known here: `stacks`
      line 32: `addons.argo-cd.version`: give an exact version, such as `1.2.3`
      line 36: `regions.spain.role`: `mexico` is the hub already; there is one hub
      line 43: `regions.mexico.colour`: unknown key; known here: `aws_region`, `domain`, `role`, `var_file`
    ");
}

#[test]
fn a_missing_key_is_reported_with_its_meaning() {
    let output = changed("repository = \"https://git.example/payments.git\"\n", "");
    assert!(
        output.contains("`gitops.repository`: missing (The URL that Argo CD reads the chart from"),
        "{output}"
    );
}

#[test]
fn a_registry_that_terraform_does_not_create_is_refused() {
    let output = changed("repository = \"payments\"", "repository = \"payments-api\"");
    assert!(
        output
            .contains("`image.repository`: use `payments`: Terraform names the registries after the project"),
        "{output}"
    );
}

#[test]
fn there_is_exactly_one_hub() {
    let none = changed("role = \"hub\"", "role = \"spoke\"");
    assert!(none.contains("no region has the role `hub`"), "{none}");
    let two = changed("role = \"spoke\"", "role = \"hub\"");
    assert!(two.contains("`regions.spain.role`: `mexico` is the hub already"), "{two}");
}

#[test]
fn networks_that_overlap_are_refused() {
    let workspace = Workspace::new();
    fs::write(workspace.path().join("mexico.tfvars"), "vpc_cidr = \"10.10.128.0/17\"\n").unwrap();
    let output = stderr(&workspace.paydeploy().arg("status").assert().code(2));
    assert!(output.contains("10.10.0.0/16 of `spain` overlaps 10.10.128.0/17 of `mexico`"), "{output}");
}

#[test]
fn names_that_aws_or_kubernetes_would_refuse_are_refused_here() {
    let project = changed("project = \"payments\"", "project = \"Payments API\"");
    assert!(project.contains("line 1: `project`: use 3 to 26 lower-case letters"), "{project}");
    let account = changed("123456789012", "1234");
    assert!(account.contains("line 2: `account`: an AWS account has 12 digits"), "{account}");
    let region = changed("[regions.mexico]", "[regions.MX]");
    assert!(region.contains("`MX` is not a valid region name"), "{region}");
    let region = changed("[regions.mexico]", "[regions.mexico--city]");
    assert!(region.contains("`mexico--city` is not a valid region name: use 1 to 16"), "{region}");
    let aws_region = changed("us-east-1", "virginia");
    assert!(aws_region.contains("`regions.mexico.aws_region`"), "{aws_region}");
    let domain = changed("api-mx.payments.example", "API-MX.payments.example");
    assert!(domain.contains("`regions.mexico.domain`: give the full host name in lower case"), "{domain}");
}

#[test]
fn a_domain_lies_below_its_regions_hosted_zone() {
    let workspace = Workspace::new();
    let variables = "vpc_cidr = \"10.20.0.0/16\"\nhosted_zone_name = \"elsewhere.example\"\n";
    fs::write(workspace.path().join("mexico.tfvars"), variables).unwrap();
    let output = stderr(&workspace.paydeploy().arg("status").assert().code(2));
    assert!(output.contains("`api-mx.payments.example` is not below `elsewhere.example`"), "{output}");
}

#[test]
fn a_login_in_a_url_is_refused_and_not_repeated() {
    for login in ["ana:s3cret", "s3cret"] {
        let output = changed("https://git.example", &format!("https://{login}@git.example"));
        assert!(output.contains("`gitops.repository`: leave the login out"), "{output}");
        assert!(!output.contains("s3cret"), "{output}");
    }
}

#[test]
fn an_add_on_stays_where_its_iam_role_trusts_it() {
    let output = changed("version = \"0.20.4\"", "version = \"0.20.4\"\nnamespace = \"eso\"");
    assert!(output.contains("`addons.external-secrets.namespace`: leave it out"), "{output}");
}

#[test]
fn a_rollout_names_every_region_once() {
    let output = changed("order = [\"spain\", \"mexico\"]", "order = [\"spain\", \"spain\", \"peru\"]");
    for problem in ["`spain` is named twice", "there is no `[regions.peru]`", "`mexico` is missing"] {
        assert!(output.contains(problem), "{output}");
    }
}

#[test]
fn missing_files_are_named() {
    for (from, to) in [
        ("stacks = \"stacks\"", "stacks = \"nowhere\""),
        ("dockerfile = \"Dockerfile\"", "dockerfile = \"nowhere\""),
        ("chart = \"chart\"", "chart = \"nowhere\""),
        ("var_file = \"spain.tfvars\"", "var_file = \"nowhere\""),
    ] {
        let output = changed(from, to);
        assert!(output.contains("nowhere`") && output.contains("there is no"), "{output}");
    }
}

#[test]
fn an_add_on_without_a_pinned_version_is_refused() {
    for version in ["latest", "0.20", "0.x.4"] {
        let output = changed("version = \"0.20.4\"", &format!("version = \"{version}\""));
        assert!(output.contains("`addons.external-secrets.version`: give an exact version"), "{output}");
    }
}

#[test]
fn the_addresses_that_preflight_asks_must_be_valid() {
    let asks =
        "[preflight]\negress = \"checkip\"\nname_servers = [\"1.1.1.1\", \"[::1]:5353\", \"dns.example\"]\n";
    let output = changed("[rollout]", &format!("{asks}\n[rollout]"));
    assert!(output.contains("2 problems"), "{output}");
    assert!(output.contains("`preflight.egress`: give a page's `https://` address, or `off`"), "{output}");
    assert!(output.contains("`preflight.name_servers`: `dns.example` is no IP address"), "{output}");
}

#[test]
fn broken_toml_is_reported_with_its_line() {
    let output = changed("account = ", "account ");
    assert!(output.contains("line 2:"), "{output}");
}

#[test]
fn the_example_of_this_repository_is_valid() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("paydeploy.toml");
    let config = paydeploy::config::load(&file).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.hub().name.as_str(), "spain");
}
