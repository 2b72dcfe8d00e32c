//! The command line itself: help, schema, completions, wrong use.

use crate::support::{Workspace, paydeploy, stderr, stdout};

#[test]
fn help_is_as_it_was_reviewed() {
    let mut all = String::new();
    for command in ["", "up", "down", "status", "plan", "phase", "logs", "token", "config", "completions"] {
        let mut run = paydeploy();
        run.args((!command.is_empty()).then_some(command)).arg("--help");
        all.push_str(&format!("$ paydeploy {command} --help\n{}\n", stdout(&run.assert().success())));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn the_configurations_schema_is_as_it_was_reviewed() {
    insta::assert_snapshot!(stdout(&paydeploy().args(["config", "schema"]).assert().success()));
}

#[test]
fn completions_are_there_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&paydeploy().args(["completions", shell]).assert().success());
        assert!(script.contains("paydeploy"), "{shell}");
    }
}

#[test]
fn wrong_use_is_exit_code_two() {
    paydeploy().arg("frobnicate").assert().code(2);
    paydeploy().args(["phase"]).assert().code(2);
}

#[test]
fn without_a_configuration_the_remedy_is_told() {
    let empty = tempfile::tempdir().unwrap();
    let told = stderr(&paydeploy().current_dir(&empty).arg("status").assert().code(2));
    assert!(told.contains("no `paydeploy.toml`") && told.contains("--config FILE"), "{told}");
}

#[test]
fn a_region_that_is_not_configured_is_named_with_those_that_are() {
    let workspace = Workspace::new();
    let told = stderr(&workspace.paydeploy().args(["status", "--region", "peru"]).assert().code(2));
    assert!(told.contains("there is no region `peru`; there are `mexico`, `spain`"), "{told}");
}

#[test]
fn the_hub_is_not_taken_down_while_spokes_are_configured() {
    let workspace = Workspace::new();
    let told = stderr(&workspace.paydeploy().args(["down", "--yes", "--region", "spain"]).assert().code(6));
    assert!(told.contains("`spain` is the hub of `mexico`"), "{told}");
}

#[test]
fn an_aws_that_does_not_answer_is_unknown_and_not_absent() {
    let workspace = Workspace::new();
    workspace.commit();
    let assert = workspace.paydeploy().args(["status", "--region", "spain"]).assert().code(7);
    let told = stderr(&assert) + &stdout(&assert);
    assert!(!told.contains("a-secret-that-no-output-may-hold"), "{told}");
}
