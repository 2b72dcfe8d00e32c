//! An invalid `paydeploy.toml` is refused with the line and the fix of every problem, and nothing is changed.

use std::fs;

use crate::support::{CONFIG, Workspace, stderr};

/// What `status` prints for an invalid configuration, which it must refuse with exit code 2.
fn refused(config: &str) -> String {
    let workspace = Workspace::with(config);
    let message = stderr(&workspace.paydeploy().arg("status").assert().code(2));
    assert!(!workspace.path().join(".paydeploy").exists(), "a refused configuration leaves nothing behind");
    message.replace(&format!("{}/", workspace.path().display()), "")
}

/// The same for the good configuration with one change.
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
      line 3: `profile`: `prod` is not a valid value
        fix: use one of `staging`, `production`
      line 4: `colour`: unknown key
        fix: use one of `account`, `addons`, `gitops`, `image`, `preflight`, `profile`, `project`, `regions`, `rollout`, `terraform`
      line 42: `regions.mexico.role`: integer is not a valid value
        fix: use one of `hub`, `spoke`
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
      line 7: `terraform.parallelism`: unknown key
        fix: use one of `stacks`
      line 32: `addons.argo-cd.version`: `9.1` is not an exact version
        fix: use a version such as `1.2.3`
      line 36: `regions.spain.role`: `mexico` is already the hub
        fix: use `spoke`: there is exactly one hub
      line 43: `regions.mexico.colour`: unknown key
        fix: use one of `aws_region`, `domain`, `role`, `var_file`
    ");
}

#[test]
fn a_missing_key_is_reported_with_its_description() {
    let message = changed("repository = \"https://git.example/payments.git\"\n", "");
    assert!(
        message.contains(
            "`gitops.repository`: missing\n    fix: add `repository`: The URL of the Git repository"
        ),
        "{message}"
    );
}

#[test]
fn a_registry_that_terraform_does_not_create_is_refused() {
    let message = changed("repository = \"payments\"", "repository = \"payments-api\"");
    assert!(
        message.contains("`image.repository`: `payments-api` does not exist")
            && message.contains("\n    fix: use `payments`"),
        "{message}"
    );
}

#[test]
fn there_is_exactly_one_hub() {
    let none = changed("role = \"hub\"", "role = \"spoke\"");
    assert!(none.contains("no region has the role `hub`"), "{none}");
    let two = changed("role = \"spoke\"", "role = \"hub\"");
    assert!(two.contains("`regions.spain.role`: `mexico` is already the hub"), "{two}");
}

#[test]
fn networks_that_overlap_are_refused() {
    let workspace = Workspace::new();
    fs::write(workspace.path().join("mexico.tfvars"), "vpc_cidr = \"10.10.128.0/17\"\n").unwrap();
    let message = stderr(&workspace.paydeploy().arg("status").assert().code(2));
    assert!(message.contains("10.10.0.0/16 of `spain` overlaps 10.10.128.0/17 of `mexico`"), "{message}");
}

#[test]
fn names_that_aws_or_kubernetes_would_refuse_are_refused_here() {
    let project = changed("project = \"payments\"", "project = \"Payments API\"");
    assert!(project.contains("line 1: `project`: `Payments API` is not a valid project name"), "{project}");
    let account = changed("123456789012", "1234");
    assert!(account.contains("line 2: `account`: `1234` is not a valid AWS account ID"), "{account}");
    let region = changed("[regions.mexico]", "[regions.MX]");
    assert!(region.contains("`MX` is not a valid region name"), "{region}");
    let region = changed("[regions.mexico]", "[regions.mexico--city]");
    assert!(region.contains("`mexico--city` is not a valid region name\n    fix: use 1 to 16"), "{region}");
    let aws_region = changed("us-east-1", "virginia");
    assert!(aws_region.contains("`regions.mexico.aws_region`"), "{aws_region}");
    let domain = changed("api-mx.payments.example", "API-MX.payments.example");
    assert!(
        domain.contains("`regions.mexico.domain`: `API-MX.payments.example` is not a valid host name"),
        "{domain}"
    );
}

#[test]
fn a_domain_is_below_its_regions_hosted_zone() {
    let workspace = Workspace::new();
    let variables = "vpc_cidr = \"10.20.0.0/16\"\nhosted_zone_name = \"elsewhere.example\"\n";
    fs::write(workspace.path().join("mexico.tfvars"), variables).unwrap();
    let message = stderr(&workspace.paydeploy().arg("status").assert().code(2));
    assert!(message.contains("`api-mx.payments.example` is not below `elsewhere.example`"), "{message}");
}

#[test]
fn a_login_in_a_url_is_refused_and_not_repeated() {
    for login in ["ana:s3cret", "s3cret"] {
        let message = changed("https://git.example", &format!("https://{login}@git.example"));
        assert!(message.contains("`gitops.repository`: the URL contains a login"), "{message}");
        assert!(!message.contains("s3cret"), "{message}");
    }
    for (key, from) in
        [("addons.argo-cd.chart", "oci://charts.example/argo-cd"), ("preflight.egress", "[rollout]")]
    {
        let to = match key {
            "preflight.egress" => "[preflight]\negress = \"https://ana:s3cret@page.example\"\n\n[rollout]",
            _ => "https://ana:s3cret@charts.example#argo-cd",
        };
        let message = changed(from, to);
        assert!(message.contains(&format!("`{key}`: the URL contains a login")), "{message}");
        assert!(!message.contains("s3cret"), "{message}");
    }
}

#[test]
fn an_add_on_stays_in_the_namespace_that_its_iam_role_trusts() {
    let message = changed("version = \"0.20.4\"", "version = \"0.20.4\"\nnamespace = \"eso\"");
    assert!(
        message.contains("`addons.external-secrets.namespace`: the add-on's IAM role trusts"),
        "{message}"
    );
}

#[test]
fn two_regions_with_one_domain_are_refused() {
    let message = changed("api-mx.payments.example", "api-es.payments.example");
    let problem = "line 37: `regions.spain.domain`: `mexico` already uses `api-es.payments.example`\n";
    assert!(message.contains(problem), "{message}");
}

#[test]
fn git_remotes_that_run_a_program_or_that_argo_cd_cannot_reach_are_refused() {
    for (remote, problem) in [
        ("ext::sh -c date", "`ext` is a Git remote helper"),
        ("s3://bucket/payments", "is not the URL of a Git repository that Argo CD can read"),
        ("/srv/payments.git", "is not the URL of a Git repository that Argo CD can read"),
        ("git@git.example:payments.git", "uses port 22, which the clusters' nodes cannot reach"),
        ("ssh://git@git.example/payments.git", "uses port 22, which the clusters' nodes cannot reach"),
    ] {
        let message = changed("https://git.example/payments.git", remote);
        assert!(message.contains("line 14: `gitops.repository`: ") && message.contains(problem), "{message}");
        assert!(message.contains("\n    fix: use the repository's `https://` URL"), "{message}");
    }
}

#[test]
fn an_add_ons_chart_is_in_a_repository_a_registry_or_a_folder() {
    for (chart, fix) in [
        ("https://charts.example", "append `#` and the chart's name"),
        (
            "http://charts.example#external-secrets",
            "use `https://REPOSITORY#NAME`, `oci://REGISTRY/NAME` or a path",
        ),
        (
            "git://charts.example/external-secrets",
            "use `https://REPOSITORY#NAME`, `oci://REGISTRY/NAME` or a path",
        ),
        ("oci://charts.example", "use `https://REPOSITORY#NAME`, `oci://REGISTRY/NAME` or a path"),
        (
            "nowhere/external-secrets",
            "correct the path, or use `https://REPOSITORY#NAME` or `oci://REGISTRY/NAME`",
        ),
    ] {
        let message = changed("oci://charts.example/external-secrets", chart);
        let place = "line 26: `addons.external-secrets.chart`: ";
        assert!(message.contains(place) && message.contains(&format!("\n    fix: {fix}")), "{message}");
    }
}

#[test]
fn namespaces_of_kubernetes_and_of_add_ons_are_refused_for_the_application() {
    let add_on = "\n[addons.metrics]\nchart = \"oci://charts.example/metrics\"\nversion = \"1.0.0\"\nnamespace = \"observability\"\n";
    for (namespace, owner) in [
        ("kube-system", "Kubernetes"),
        ("kube-payments", "Kubernetes"),
        ("default", "Kubernetes"),
        ("argocd", "the add-on `argo-cd`"),
        ("external-secrets", "the add-on `external-secrets`"),
        ("observability", "the add-on `metrics`"),
    ] {
        let namespace_line = format!("manifests = \"manifests\"\nnamespace = \"{namespace}\"");
        let config = CONFIG.replacen("manifests = \"manifests\"", &namespace_line, 1);
        let message = refused(&format!("{config}{add_on}"));
        let problem = format!(
            "line 17: `gitops.namespace`: `{namespace}` is reserved for {owner}\n    fix: set `gitops.namespace`"
        );
        assert!(message.contains(&problem), "{message}");
    }
}

#[test]
fn a_rollout_lists_every_region_once() {
    let message = changed("order = [\"spain\", \"mexico\"]", "order = [\"spain\", \"spain\", \"peru\"]");
    for problem in ["`spain` is listed twice", "`peru` is not a configured region", "`mexico` is missing"] {
        assert!(message.contains(problem), "{message}");
    }
}

#[test]
fn missing_files_are_reported() {
    for (from, to) in [
        ("stacks = \"stacks\"", "stacks = \"nowhere\""),
        ("dockerfile = \"Dockerfile\"", "dockerfile = \"nowhere\""),
        ("chart = \"chart\"", "chart = \"nowhere\""),
        ("var_file = \"spain.tfvars\"", "var_file = \"nowhere\""),
    ] {
        let message = changed(from, to);
        assert!(message.contains("nowhere`") && message.contains(": no "), "{message}");
    }
}

#[test]
fn an_add_on_without_an_exact_version_is_refused() {
    for version in ["latest", "0.20", "0.x.4"] {
        let message = changed("version = \"0.20.4\"", &format!("version = \"{version}\""));
        assert!(
            message
                .contains(&format!("`addons.external-secrets.version`: `{version}` is not an exact version")),
            "{message}"
        );
    }
}

#[test]
fn external_secrets_before_the_api_version_that_paydeploy_uses_is_refused() {
    let message = changed("version = \"0.20.4\"", "version = \"0.15.1\"");
    assert!(
        message.contains("`addons.external-secrets.version`: External Secrets 0.15.1 does not serve")
            && message.contains("fix: use version 0.16.0 or later"),
        "{message}"
    );
}

#[test]
fn what_preflight_connects_to_must_be_an_address() {
    let repeated =
        "[preflight]\negress = \"checkip\"\nname_servers = [\"1.1.1.1\", \"[::1]:5353\", \"dns.example\"]\n";
    let message = changed("[rollout]", &format!("{repeated}\n[rollout]"));
    assert!(message.contains("2 problems"), "{message}");
    assert!(message.contains("`preflight.egress`: `checkip` is not a web page's URL"), "{message}");
    assert!(
        message.contains("`preflight.name_servers`: `dns.example` is not a valid IP address"),
        "{message}"
    );
}

#[test]
fn a_syntax_error_is_reported_with_its_line() {
    let message = changed("account = ", "account ");
    assert!(message.contains("line 2:"), "{message}");
}

#[test]
fn this_repositorys_own_configuration_is_valid() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("paydeploy.toml");
    let config = paydeploy::config::load(&file).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.hub().name.as_str(), "spain");
}
