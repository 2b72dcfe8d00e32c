//! The command line itself: schema, completions, wrong usage. `reference` covers the help.

use crate::support::{Workspace, paydeploy, stderr, stdout};

#[test]
fn help_and_version_go_to_standard_output() {
    assert!(stdout(&paydeploy().arg("--help").assert().success()).contains("Usage: paydeploy <COMMAND>"));
    assert!(stdout(&paydeploy().arg("--version").assert().success()).starts_with("paydeploy "));
}

#[test]
fn the_configurations_schema_is_as_it_was_reviewed() {
    insta::assert_snapshot!(stdout(&paydeploy().args(["config", "schema"]).assert().success()));
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&paydeploy().args(["completions", shell]).assert().success());
        assert!(script.contains("paydeploy"), "{shell}");
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    paydeploy().arg("frobnicate").assert().code(2);
    paydeploy().args(["phase"]).assert().code(2);
}

#[test]
fn a_missing_configuration_has_a_fix() {
    let empty = tempfile::tempdir().unwrap();
    let output = stderr(&paydeploy().current_dir(&empty).arg("status").assert().code(2));
    assert!(output.contains("no `paydeploy.toml`") && output.contains("--config FILE"), "{output}");
}

#[test]
fn an_unknown_region_is_refused_with_the_known_ones() {
    let workspace = Workspace::new();
    let output = stderr(&workspace.paydeploy().args(["status", "--region", "peru"]).assert().code(2));
    assert!(output.contains("no region `peru` in the configuration; it has `mexico`, `spain`"), "{output}");
    assert!(output.contains("fix: use one of these, or add `[regions.peru]`"), "{output}");
}

#[test]
fn the_hub_is_not_deleted_before_its_spokes() {
    let workspace = Workspace::new();
    let output = stderr(&workspace.paydeploy().args(["down", "--yes", "--region", "spain"]).assert().code(6));
    assert!(output.contains("`spain` is the hub of `mexico`: delete its spokes first"), "{output}");
    assert!(output.contains("fix: paydeploy down --region mexico\n"), "{output}");
}

#[test]
fn an_aws_that_does_not_answer_is_unknown_and_not_missing() {
    let workspace = Workspace::new();
    workspace.commit();
    let assert = workspace.paydeploy().args(["status", "--region", "spain"]).assert().code(7);
    let output = stderr(&assert) + &stdout(&assert);
    assert!(!output.contains("a-secret-that-no-output-may-hold"), "{output}");
}

#[test]
fn the_command_that_continues_keeps_the_given_regions() {
    let workspace = Workspace::new();
    workspace.commit();
    let config = workspace.path().join("paydeploy.toml");
    let down = ["down", "--yes", "--region", "mexico", "--config"];
    let output = stderr(&workspace.paydeploy().args(down).arg(&config).assert().code(7));
    let again = format!("then: paydeploy down --config {} --region mexico\n", config.display());
    assert!(output.contains(&again), "{output}");
}

#[test]
fn a_command_refuses_flags_that_it_does_not_honour() {
    for args in
        [&["logs", "--output", "json"][..], &["token", "--region", "spain"], &["status", "--output", "live"]]
    {
        paydeploy().args(args).assert().code(2);
    }
}

#[test]
fn logs_of_no_run_say_so() {
    let workspace = Workspace::new();
    let output = stderr(&workspace.paydeploy().arg("logs").assert().code(2));
    assert!(output.contains("no runs yet") && output.contains("fix: run `paydeploy up` first"), "{output}");
    // Nor do the state buckets say whose it may be.
    let output = stderr(&workspace.paydeploy().args(["logs", "abc"]).assert().code(7));
    assert!(output.contains("no run starts with `abc`") && output.contains("fix: list the runs"), "{output}");
    assert!(output.contains("region `spain` cannot be read: "), "{output}");
}

/// A run that died while `docker/build` changed something. Its journal has a line that a crash cut off and one of a
/// newer version.
fn dead_run(workspace: &Workspace) {
    let run = workspace.path().join(".paydeploy/runs/0123");
    std::fs::create_dir_all(&run).unwrap();
    let header = r#"{"schema":1,"run":"0123","command":"up","host":"ci","boot":"","pid":1,"start":1,"at":"2026-01-01T00:00:00Z"}"#;
    let new = r#"{"at":"2026-01-01T00:00:00Z","event":"lease-taken"}"#;
    let effect = r#"{"at":"2026-01-01T00:00:01Z","event":"effect-started","step":{"phase":"docker","region":null,"part":"build"}}"#;
    std::fs::write(run.join("journal.ndjson"), format!("{header}\n{{\"at\n{new}\n{effect}\n")).unwrap();
}

#[test]
fn logs_name_a_step_that_a_dead_run_left_unfinished() {
    let workspace = Workspace::new();
    dead_run(&workspace);
    let output = stdout(&workspace.paydeploy().args(["logs", "01"]).assert().success());
    assert!(output.contains("run 0123 · up") && output.contains("! docker/build"), "{output}");
    assert!(output.contains("unfinished"), "{output}");
    assert!(output.contains("! 1 line of the journal cut off by a crash"), "{output}");
    assert!(output.contains("! not shown: lease-taken, recorded by a newer paydeploy"), "{output}");
    let output = stderr(&workspace.paydeploy().args(["logs", "01", "docker/spain"]).assert().code(2));
    assert!(output.contains("fix: list its steps: paydeploy logs 0123"), "{output}");
}

/// Runs the program with a standard output whose reader has gone before anything is printed.
fn without_reader(command: &mut std::process::Command) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).stderr(std::process::Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_reader_that_has_gone_causes_no_panic_and_no_other_exit_code() {
    let workspace = Workspace::new();
    workspace.commit();
    let program = || {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_paydeploy"));
        program.current_dir(workspace.path()).env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
        program.env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "x").env("AWS_MAX_ATTEMPTS", "1");
        program
    };
    for (code, args) in [
        (0, &["config", "schema"][..]),
        (0, &["completions", "bash"]),
        (0, &["--help"]),
        (7, &["status", "--region", "spain"]),
        (7, &["status", "--region", "spain", "--output", "json"]),
        (0, &["logs", "0"]),
        (7, &["runs"]),
    ] {
        if args[0] == "logs" {
            dead_run(&workspace);
        }
        let (ended, errors) = without_reader(program().args(args));
        assert_eq!(ended, Some(code), "{args:?}: {errors}");
        assert!(!errors.contains("panicked"), "{args:?}: {errors}");
    }
}
