//! Credentials and the account: what AWS refuses, and what is missing there.

use super::{COMMANDS, PREFLIGHT, assert_contains};
use crate::{
    account::{Keys, OURS, account},
    checkout::Checkout,
};

#[test]
fn missing_credentials_are_reported_with_the_ways_to_give_some() {
    let checkout = Checkout::with_keys(Keys::default());
    for command in COMMANDS {
        let output = checkout.refused(PREFLIGHT, command);
        assert_contains(
            &output,
            &["no AWS credentials were found", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "aws sso login"],
        );
    }
}

#[test]
fn an_expired_session_has_to_be_renewed() {
    let checkout = Checkout::with_keys(account().ended_session("deployer"));
    for command in COMMANDS {
        let output = checkout.refused(PREFLIGHT, command);
        assert_contains(&output, &["ExpiredToken", "fix: get fresh AWS credentials"]);
    }
}

#[test]
fn an_unknown_key_is_refused() {
    let unknown = Keys {
        id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret: "a-secret-that-no-output-may-hold".to_owned(),
        session: None,
    };
    let checkout = Checkout::with_keys(unknown);
    for command in COMMANDS {
        assert_contains(
            &checkout.refused(PREFLIGHT, command),
            &["InvalidClientTokenId", "fix: ", "AWS credentials"],
        );
    }
}

#[test]
fn a_key_with_a_wrong_secret_is_refused() {
    let mut checkout = Checkout::new();
    checkout.keys.secret = "a-secret-that-no-output-may-hold".to_owned();
    assert_contains(
        &checkout.refused(PREFLIGHT, &["up"]),
        &["SignatureDoesNotMatch", "fix: ", "AWS_SECRET_ACCESS_KEY"],
    );
}

#[test]
fn credentials_of_another_account_touch_neither_account() {
    let checkout = Checkout::with_keys(account().user("stranger", "999999999999"));
    for command in COMMANDS {
        let output = checkout.refused(PREFLIGHT, command);
        let accounts = format!("the AWS credentials belong to account 999999999999, not {OURS}");
        assert_contains(&output, &[&accounts, "AWS_PROFILE", "`account` in paydeploy.toml"]);
    }
}

#[test]
fn a_disabled_region_is_reported_with_the_command_that_enables_it() {
    let checkout = Checkout::new();
    checkout.edit("paydeploy.toml", "us-east-1", "ap-east-1");
    checkout.commit("to Hong Kong");
    checkout.push();
    let output = checkout.refused(PREFLIGHT, &["up"]);
    assert_contains(&output, &["region `mexico`: `ap-east-1` is not enabled for this account"]);
    assert_contains(&output, &["aws account enable-region --region-name ap-east-1"]);
}

#[test]
fn a_missing_hosted_zone_is_reported_with_its_region() {
    let checkout = Checkout::new();
    checkout.edit("paydeploy.toml", "api-es.payments.example", "api-es.elsewhere.example");
    checkout.edit("terraform/regions/spain.tfvars", "payments.example", "elsewhere.example");
    checkout.commit("elsewhere");
    checkout.push();
    let output = checkout.refused(PREFLIGHT, &["up"]);
    assert_contains(
        &output,
        &["region `spain`: no public hosted zone `elsewhere.example`", "create the zone"],
    );
    assert_contains(&output, &["Route 53", "`hosted_zone_name`"]);
    assert!(!output.contains("`mexico`: no public hosted zone"), "{output}");
}

#[test]
fn an_undelegated_zone_is_reported_with_its_name_servers() {
    // No name server serves the first; those that the parent names for the second do not know it.
    for zone in ["undelegated.example", "lame.example"] {
        let checkout = Checkout::new();
        account().zone(zone);
        checkout.edit("paydeploy.toml", "api-es.payments.example", &format!("api-es.{zone}"));
        checkout.edit("terraform/regions/spain.tfvars", "payments.example", zone);
        // A warning stops nothing; the uncommitted change does.
        let output = checkout.refused(PREFLIGHT, &["up"]);
        assert_contains(
            &output,
            &[
                &format!("warning: the hosted zone `{zone}` is not delegated"),
                "set these name servers at the registrar",
            ],
        );
        assert!(!output.contains("zone `payments.example` is not delegated"), "{output}");
    }
}

#[test]
fn an_address_that_a_cluster_would_refuse_is_reported_with_its_variable() {
    let checkout = Checkout::new();
    checkout.edit("terraform/regions/mexico.tfvars", "\"198.51.100.0/24\"", "\"203.0.113.0/24\"");
    checkout.commit("the office moved");
    checkout.push();
    let output = checkout.refused(PREFLIGHT, &["up"]);
    assert_contains(
        &output,
        &["region `mexico`: this machine's public IP address 198.51.100.7", "fix: add \"198.51.100.7/32\""],
    );
    assert_contains(
        &output,
        &["`cluster_endpoint_public_access_cidrs` in `terraform/regions/mexico.tfvars`", "egress = \"off\""],
    );
    assert!(!output.contains("region `spain`"), "{output}");
}

#[test]
fn a_session_that_expires_during_a_first_up_is_a_warning() {
    let checkout = Checkout::with_keys(account().session("deployer"));
    // A warning stops nothing; the uncommitted file does.
    checkout.write("notes.md", "");
    let mut up = checkout.command(env!("CARGO_BIN_EXE_paydeploy"));
    // In the past, so that the duration of the test does not matter.
    up.arg("up").env("AWS_CREDENTIAL_EXPIRATION", "2026-01-01T00:00:00Z");
    let output = checkout.changed_nothing(PREFLIGHT, &mut up);
    assert_contains(
        &output,
        &["warning: the AWS credentials in the environment expire in 0 min", "AWS_PROFILE"],
    );
}

#[test]
fn a_deployer_that_a_list_of_administrators_lacks_is_reported_before_it_ends_its_own_access() {
    let checkout = Checkout::new();
    let file = "terraform/regions/mexico.tfvars";
    let text = std::fs::read_to_string(checkout.path(file)).unwrap();
    checkout.write(file, &format!("{text}\nadministrator_arns = [\"arn:aws:iam::123456789012:role/ci\"]\n"));
    checkout.commit("only the pipeline deploys");
    checkout.push();
    let output = checkout.refused(PREFLIGHT, &["up"]);
    assert_contains(
        &output,
        &[
            "region `mexico`: the deployer `arn:aws:iam::",
            "is missing from `administrator_arns` in `terraform/regions/mexico.tfvars`",
            "fix: add it",
        ],
    );
    assert!(!output.contains("region `spain`"), "{output}");
}

#[test]
fn phase_preflight_alone_checks_what_any_phase_needs() {
    let checkout = Checkout::new();
    checkout.edit("terraform/regions/mexico.tfvars", "\"198.51.100.0/24\"", "\"203.0.113.0/24\"");
    checkout.commit("the office moved");
    checkout.push();
    let phase = |names: &[&str], code| {
        let mut command = checkout.command(env!("CARGO_BIN_EXE_paydeploy"));
        // No container engine.
        command.arg("phase").args(names).env("DOCKER_HOST", "unix:///nonexistent");
        checkout.changed_nothing(code, &mut command)
    };
    let (engine, address) =
        ("without it no image can be built", "region `mexico`: this machine's public IP address");
    assert_contains(&phase(&["preflight"], PREFLIGHT), &[engine, address]);
    // Beside another phase it checks only what that phase needs.
    let output = phase(&["preflight", "secrets"], PREFLIGHT);
    assert!(!output.contains(engine) && !output.contains(address), "{output}");
}
#[test]
fn all_problems_are_reported_together_each_with_its_fix() {
    let checkout = Checkout::new();
    checkout.without_tool("helm");
    checkout.edit("paydeploy.toml", "us-east-1", "ap-east-1");
    checkout.edit("paydeploy.toml", "api-es.payments.example", "api-es.elsewhere.example");
    checkout.edit("terraform/regions/spain.tfvars", "payments.example", "elsewhere.example");
    checkout.commit("not pushed");
    checkout.write("notes.md", "");
    let output = checkout.refused(PREFLIGHT, &["up"]);
    assert_contains(&output, &["5 checks failed", "`helm` is not on PATH", "`ap-east-1` is not enabled"]);
    assert_contains(&output, &["`elsewhere.example`", ": notes.md", "does not contain commit"]);
    // Indented below their problem, unlike the fix of a warning.
    assert_eq!(output.matches("\n        fix: ").count(), 5, "{output}");
}
