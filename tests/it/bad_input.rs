//! Problems that are found before a run starts: `paydeploy` names the location and the fix, exits with the matching
//! code, changes nothing and prints no secret. A stopped container engine and an unreachable registry need a partly
//! deployed region, and are not tested yet.

use std::{
    fs,
    io::{Read as _, Write as _},
    process::{Command, Stdio},
};

use paydeploy::{state::RunLock, step::RunId};

use crate::{
    account::{Keys, OURS, account},
    checkout::Checkout,
    world::{printed, text},
};

/// Every command that reads the account.
const COMMANDS: [&[&str]; 5] = [&["up"], &["plan"], &["status"], &["phase", "terraform"], &["down", "--yes"]];

const PREFLIGHT: i32 = 4;

fn assert_contains(output: &str, pieces: &[&str]) {
    for piece in pieces {
        assert!(output.contains(piece), "`{piece}` is not in:\n{output}");
    }
}

#[test]
fn changes_of_a_run_that_starts_are_recorded() {
    let checkout = Checkout::new();
    // A separate project, because what it creates remains in the account that all tests share.
    checkout.edit("paydeploy.toml", "project = \"payment-latency-api\"", "project = \"started\"");
    checkout.edit("paydeploy.toml", "repository = \"payment-latency-api\"", "repository = \"started\"");
    checkout.commit("another project");
    checkout.push();
    let up = checkout.command(env!("CARGO_BIN_EXE_paydeploy")).arg("up").output().unwrap();
    assert_eq!(up.status.code(), Some(1), "the terraform of these tests only prints its version");
    assert!(
        checkout.changes().iter().any(|change| change.contains("CreateBucket")),
        "{:?}",
        checkout.changes()
    );
    assert_contains(&checkout.ran(), &["stacks/foundation init"]);
}

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
fn an_interrupt_during_the_first_probe_starts_nothing() {
    let checkout = Checkout::new();
    // A region that only this test uses; there a probe takes longer than any test.
    checkout.edit("paydeploy.toml", "eu-south-2", "eu-north-1");
    checkout.commit("to Stockholm");
    checkout.push();
    let slow = account().slow("eu-north-1");
    for command in [&["down", "--yes"][..], &["up"]] {
        let before = slow.delayed_calls();
        let mut process = checkout.command(env!("CARGO_BIN_EXE_paydeploy"));
        process.args(command).stdout(Stdio::piped()).stderr(Stdio::piped());
        let process = process.spawn().unwrap();
        // It installs its signal handlers before its first call.
        slow.wait_for_another_call(before);
        text(Command::new("kill").args(["-INT", &process.id().to_string()]));
        let output = process.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", printed(&output));
        assert_contains(&printed(&output), &["interrupted: nothing was started"]);
        assert_eq!(checkout.changes(), Vec::<String>::new());
        assert_eq!(checkout.ran(), "");
    }
}

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
    for command in COMMANDS {
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

#[test]
fn a_second_run_on_this_machine_is_refused_and_names_the_first() {
    let checkout = Checkout::new();
    fs::create_dir(checkout.path(".paydeploy")).unwrap();
    let first = RunLock::take(&checkout.path(".paydeploy"), &RunId::named("the-first")).unwrap();
    let owner = format!("another run holds the lock: run the-first, process {}", std::process::id());
    for command in [&["up"][..], &["plan"], &["phase", "apps"], &["down", "--yes"], &["status", "--drift"]] {
        assert_contains(&checkout.refused(5, command), &[&owner, "fix: wait for that run to end"]);
    }
    // Reading needs no lock.
    checkout.refused(3, &["status"]);
    drop(first);
    checkout.refused(0, &["plan"]);
}

#[test]
fn a_journal_of_a_newer_schema_is_refused() {
    let checkout = Checkout::new();
    fs::create_dir_all(checkout.path(".paydeploy/runs/newest")).unwrap();
    let journal = ".paydeploy/runs/newest/journal.ndjson";
    checkout.write(journal, "{\"schema\":2,\"run\":\"newest\"}\n{\"what\":\"is new\"}\n");
    for command in [&["up"][..], &["down", "--yes"], &["phase", "apps"], &["logs"]] {
        assert_contains(&checkout.refused(2, command), &[journal, "has schema 2", "use the newer paydeploy"]);
    }
    assert_eq!(fs::read_dir(checkout.path(".paydeploy/runs")).unwrap().count(), 1, "no run was started");
}

/// The program where no file may grow beyond some blocks of 512 or 1024 bytes: it fails to write as on a full disk.
fn on_a_full_disk(checkout: &Checkout, blocks: u32, args: &[&str]) -> Command {
    let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let mut command = checkout.command("/bin/sh");
    command.args(["-c", &limited, env!("CARGO_BIN_EXE_paydeploy")]).args(args);
    command
}

#[test]
fn a_full_disk_stops_a_run_before_it_starts() {
    let checkout = Checkout::new();
    for command in [&["up"][..], &["down", "--yes"]] {
        let output = checkout.changed_nothing(1, &mut on_a_full_disk(&checkout, 0, command));
        assert_contains(
            &output,
            &[
                "failed to create `.paydeploy`",
                "fix: make the folder writable and check that its disk has free space",
            ],
        );
    }
    // With the folder of an earlier run.
    checkout.refused(0, &["plan"]);
    for command in [&["up"][..], &["down", "--yes"]] {
        let output = checkout.changed_nothing(1, &mut on_a_full_disk(&checkout, 0, command));
        assert_contains(
            &output,
            &[".paydeploy/lock`", "fix: free space on the disk that holds `.paydeploy`"],
        );
    }
    let output = checkout.changed_nothing(PREFLIGHT, &mut on_a_full_disk(&checkout, 0, &["status"]));
    assert_contains(
        &output,
        &["failed to write the log", "fix: free space on the disk that holds `.paydeploy`"],
    );
}

#[test]
fn a_disk_that_fills_up_stops_a_run_that_can_no_longer_write_its_journal() {
    let checkout = Checkout::new();
    let output = checkout.changed_nothing(1, &mut on_a_full_disk(&checkout, 1, &["up"]));
    assert_contains(
        &output,
        &["failed to write the journal `", "fix: free space on the disk", "run the same command again"],
    );
    // The truncated journal does not prevent the next run.
    checkout.refused(0, &["plan"]);
    assert_contains(&fs::read_to_string(checkout.path(".paydeploy/.gitignore")).unwrap(), &["*"]);
}

#[test]
fn nothing_is_deleted_without_confirmation() {
    let checkout = Checkout::new();
    let output = checkout.refused(2, &["down"]);
    assert_contains(
        &output,
        &["keep: the state bucket of each region", "stdin is not a terminal", "fix: add `--yes`"],
    );
}

#[test]
fn a_wrong_name_deletes_nothing() {
    let checkout = Checkout::new();
    let mut terminal = down_at_a_terminal(&checkout);
    terminal.stdin(typed("payment-latency-apj\n"));
    let output = checkout.changed_nothing(2, &mut terminal);
    assert_contains(
        &output,
        &[
            "Type `payment-latency-api` to delete all of this",
            "not confirmed: nothing was deleted",
            "fix: type the name",
        ],
    );
}

#[test]
fn ctrl_c_at_the_confirmation_deletes_nothing() {
    let checkout = Checkout::new();
    let mut terminal = down_at_a_terminal(&checkout);
    terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = terminal.spawn().unwrap();
    let mut keyboard = process.stdin.take().unwrap();
    let mut screen = process.stdout.take().unwrap();
    let mut output = String::new();
    while !output.contains("Type `payment-latency-api`") {
        let mut byte = [0];
        assert_eq!(screen.read(&mut byte).unwrap(), 1, "ended without a question:\n{output}");
        output.push(char::from(byte[0]));
    }
    // The character of Ctrl-C, which the terminal turns into a SIGINT.
    keyboard.write_all(b"\x03").unwrap();
    screen.read_to_string(&mut output).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(130), "{output}");
    assert_contains(&output, &["interrupted: nothing was deleted"]);
    assert_eq!((checkout.changes(), checkout.ran()), (Vec::new(), String::new()));
}

/// `paydeploy down` on a pseudo-terminal: `script` passes its standard input on as typed text.
fn down_at_a_terminal(checkout: &Checkout) -> Command {
    let mut terminal = checkout.command("script");
    let down = format!("'{}' down", env!("CARGO_BIN_EXE_paydeploy"));
    terminal.args(["--quiet", "--return", "--command", &down, "/dev/null"]);
    let path = format!("{}:{}", checkout.path("../bin").display(), env!("PATH"));
    terminal.env("PATH", path).env("SHELL", "/bin/sh");
    terminal
}

/// Standard input with this text and nothing after it.
fn typed(text: &str) -> Stdio {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    file.into()
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
