//! What is wrong before anything is begun: `paydeploy` names the place and the remedy, ends with the code that
//! says so, changes nothing and tells no secret. An engine that does not run and a registry that is down need a
//! region that is half up, and are not tested yet.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use paydeploy::{state::Lock, step::RunId};

use crate::{
    account::{Keys, OURS, account},
    checkout::Checkout,
    world::{said, text},
};

/// Every command that would look at the account.
const COMMANDS: [&[&str]; 5] = [&["up"], &["plan"], &["status"], &["phase", "terraform"], &["down", "--yes"]];

const PREFLIGHT: i32 = 4;

fn says(told: &str, pieces: &[&str]) {
    for piece in pieces {
        assert!(told.contains(piece), "`{piece}` is not in:\n{told}");
    }
}

#[test]
fn a_run_that_does_begin_is_seen_to_change_the_account() {
    let checkout = Checkout::new();
    // what it leaves behind is no other test's
    checkout.edit("paydeploy.toml", "project = \"payment-latency-api\"", "project = \"begun\"");
    checkout.edit("paydeploy.toml", "repository = \"payment-latency-api\"", "repository = \"begun\"");
    checkout.commit("another project");
    checkout.push();
    let up = checkout.command(env!("CARGO_BIN_EXE_paydeploy")).arg("up").output().unwrap();
    assert_eq!(up.status.code(), Some(1), "the terraform of these tests can only tell its version");
    assert!(
        checkout.changes().iter().any(|change| change.contains("CreateBucket")),
        "{:?}",
        checkout.changes()
    );
    says(&checkout.ran(), &["stacks/foundation init"]);
}

#[test]
fn without_credentials_the_ways_to_give_some_are_told() {
    let checkout = Checkout::with_keys(Keys::default());
    for command in COMMANDS {
        let told = checkout.refused(PREFLIGHT, command);
        says(&told, &["no AWS credentials were found", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "aws sso login"]);
    }
}

#[test]
fn a_session_that_has_ended_is_to_be_renewed() {
    let checkout = Checkout::with_keys(account().ended_session("deployer"));
    for command in COMMANDS {
        let told = checkout.refused(PREFLIGHT, command);
        says(&told, &["ExpiredToken", "fix: get fresh AWS credentials"]);
    }
}

#[test]
fn a_key_that_aws_does_not_know_is_refused() {
    let unknown = Keys {
        id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret: "a-secret-that-no-output-may-hold".to_owned(),
        session: None,
    };
    let checkout = Checkout::with_keys(unknown);
    for command in COMMANDS {
        says(&checkout.refused(PREFLIGHT, command), &["InvalidClientTokenId", "fix: ", "AWS credentials"]);
    }
}

#[test]
fn a_key_with_a_wrong_secret_is_refused() {
    let mut checkout = Checkout::new();
    checkout.keys.secret = "a-secret-that-no-output-may-hold".to_owned();
    says(&checkout.refused(PREFLIGHT, &["up"]), &["SignatureDoesNotMatch", "fix: ", "AWS_SECRET_ACCESS_KEY"]);
}

#[test]
fn another_accounts_credentials_touch_neither_account() {
    let checkout = Checkout::with_keys(account().user("somebody", "999999999999"));
    for command in COMMANDS {
        let told = checkout.refused(PREFLIGHT, command);
        let accounts = format!("the AWS credentials belong to account 999999999999, not {OURS}");
        says(&told, &[&accounts, "AWS_PROFILE", "`account` in paydeploy.toml"]);
    }
}

#[test]
fn a_region_that_is_not_enabled_is_told_with_the_command_that_enables_it() {
    let checkout = Checkout::new();
    checkout.edit("paydeploy.toml", "us-east-1", "ap-east-1");
    checkout.commit("to Hong Kong");
    checkout.push();
    let told = checkout.refused(PREFLIGHT, &["up"]);
    says(&told, &["region `mexico`: `ap-east-1` is not enabled for this account"]);
    says(&told, &["aws account enable-region --region-name ap-east-1"]);
}

#[test]
fn a_domain_without_a_hosted_zone_is_told_with_its_region() {
    let checkout = Checkout::new();
    checkout.edit("paydeploy.toml", "api-es.payments.example", "api-es.elsewhere.example");
    checkout.edit("terraform/regions/spain.tfvars", "payments.example", "elsewhere.example");
    checkout.commit("elsewhere");
    checkout.push();
    let told = checkout.refused(PREFLIGHT, &["up"]);
    says(&told, &["region `spain`: no public hosted zone `elsewhere.example`", "create the zone"]);
    says(&told, &["Route 53", "`hosted_zone_name`"]);
    assert!(!told.contains("`mexico`: no public hosted zone"), "{told}");
}

#[test]
fn a_zone_that_is_not_delegated_is_told_with_its_name_servers() {
    // nobody knows the one; those who are said to know the other do not
    for zone in ["undelegated.example", "lame.example"] {
        let checkout = Checkout::new();
        account().zone(zone);
        checkout.edit("paydeploy.toml", "api-es.payments.example", &format!("api-es.{zone}"));
        checkout.edit("terraform/regions/spain.tfvars", "payments.example", zone);
        // a warning stops nothing; that this is not committed does
        let told = checkout.refused(PREFLIGHT, &["up"]);
        says(
            &told,
            &[&format!("warning: the hosted zone `{zone}` is not delegated"), "name these at the registrar"],
        );
        assert!(!told.contains("zone `payments.example` is not delegated"), "{told}");
    }
}

#[test]
fn an_address_that_a_cluster_would_not_admit_is_told_with_the_variable_that_does() {
    let checkout = Checkout::new();
    checkout.edit("terraform/regions/mexico.tfvars", "\"198.51.100.0/24\"", "\"203.0.113.0/24\"");
    checkout.commit("the office moved");
    checkout.push();
    let told = checkout.refused(PREFLIGHT, &["up"]);
    says(&told, &["region `mexico`: this machine is seen as 198.51.100.7", "fix: add \"198.51.100.7/32\""]);
    says(
        &told,
        &["`cluster_endpoint_public_access_cidrs` in `terraform/regions/mexico.tfvars`", "egress = \"off\""],
    );
    assert!(!told.contains("region `spain`"), "{told}");
}

#[test]
fn a_session_that_ends_too_soon_for_a_first_up_is_told() {
    let checkout = Checkout::with_keys(account().session("deployer"));
    // a warning stops nothing; that this is not committed does
    checkout.write("notes.md", "");
    let mut up = checkout.command(env!("CARGO_BIN_EXE_paydeploy"));
    // in the past: how long the test takes makes no difference
    up.arg("up").env("AWS_CREDENTIAL_EXPIRATION", "2026-01-01T00:00:00Z");
    let told = checkout.changed_nothing(PREFLIGHT, &mut up);
    says(&told, &["warning: the AWS credentials in the environment end in 0 min", "AWS_PROFILE"]);
}

#[test]
fn an_interrupt_during_the_first_look_begins_nothing() {
    let checkout = Checkout::new();
    // a region of this test alone, where a look takes longer than any test
    checkout.edit("paydeploy.toml", "eu-south-2", "eu-north-1");
    checkout.commit("to Stockholm");
    checkout.push();
    let slow = account().slow("eu-north-1");
    for command in [&["down", "--yes"][..], &["up"]] {
        let before = slow.asked();
        let mut process = checkout.command(env!("CARGO_BIN_EXE_paydeploy"));
        process.args(command).stdout(Stdio::piped()).stderr(Stdio::piped());
        let process = process.spawn().unwrap();
        // it listens before it asks
        slow.is_asked_again(before);
        text(Command::new("kill").args(["-INT", &process.id().to_string()]));
        let output = process.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", said(&output));
        says(&said(&output), &["interrupted: nothing was begun"]);
        assert_eq!(checkout.changes(), Vec::<String>::new());
        assert_eq!(checkout.ran(), "");
    }
}

#[test]
fn a_tool_that_is_missing_is_told_with_where_to_get_it() {
    for (tool, source) in [("terraform", "developer.hashicorp.com"), ("helm", "helm.sh/docs")] {
        let checkout = Checkout::new();
        checkout.without_tool(tool);
        let told = checkout.refused(PREFLIGHT, &["up"]);
        says(&told, &[&format!("`{tool}` is not on PATH"), &format!("fix: install {tool}"), source]);
    }
}

#[test]
fn a_tool_that_is_too_old_is_told_with_the_version_that_is_needed() {
    let checkout = Checkout::new();
    checkout.tool("terraform", "{\"terraform_version\": \"1.9.8\"}");
    let told = checkout.refused(PREFLIGHT, &["up"]);
    says(&told, &["`terraform` 1.9.8 is too old", "fix: install terraform 1.10.0 or later"]);
    checkout.tool("terraform", "{\"terraform_version\": \"1.10.0\"}");
    checkout.tool("helm", "v3.13.3");
    let told = checkout.refused(PREFLIGHT, &["up"]);
    says(&told, &["`helm` 3.13.3 is too old", "fix: install helm 3.14.0 or later"]);
}

#[test]
fn what_is_not_committed_is_told_by_its_files() {
    let checkout = Checkout::new();
    checkout.edit("terraform/regions/mexico.tfvars", "db.t4g.micro", "db.t4g.small");
    checkout.write("notes.md", "to be written\n");
    let told = checkout.refused(PREFLIGHT, &["up"]);
    says(&told, &["the work tree is not what its commit says: terraform/regions/mexico.tfvars, notes.md"]);
    says(&told, &["fix: commit or stash it", ".gitignore"]);
}

#[test]
fn a_commit_that_was_not_pushed_is_told_with_the_repository_that_lacks_it() {
    let checkout = Checkout::new();
    checkout.git(&["commit", "--quiet", "--allow-empty", "--message", "not pushed"]);
    let head = checkout.git(&["rev-parse", "HEAD"]);
    let told = checkout.refused(PREFLIGHT, &["up"]);
    says(&told, &[&format!("origin.git` does not hold commit {}", &head[..7]), "fix: push it first"]);
}

#[test]
fn a_repository_that_cannot_be_read_is_told_with_its_key() {
    let checkout = Checkout::new();
    checkout.edit("paydeploy.toml", "origin.git", "nowhere.git");
    checkout.commit("a wrong repository");
    checkout.push();
    says(
        &checkout.refused(PREFLIGHT, &["up"]),
        &["nowhere.git", "check `gitops.repository` in paydeploy.toml"],
    );
}

#[test]
fn a_folder_that_is_no_repository_is_told() {
    let checkout = Checkout::new();
    fs::remove_dir_all(checkout.path(".git")).unwrap();
    for command in COMMANDS {
        says(&checkout.refused(PREFLIGHT, command), &["failed to find the commit of", "run it in a clone"]);
    }
}

#[test]
fn a_chart_that_the_commit_does_not_have_is_told_with_its_key() {
    let checkout = Checkout::new();
    fs::remove_file(checkout.path("charts/payment-latency-api/Chart.yaml")).unwrap();
    checkout.commit("no chart");
    checkout.push();
    let told = checkout.refused(PREFLIGHT, &["up"]);
    says(
        &told,
        &["has no chart in `charts/payment-latency-api`", "fix: set `gitops.chart` in paydeploy.toml"],
    );
}

#[test]
fn a_typo_in_a_regions_variables_is_told_with_what_was_meant() {
    let checkout = Checkout::new();
    checkout.edit("terraform/regions/spain.tfvars", "db_instance_class", "db_instance_clas");
    checkout.commit("a typo");
    checkout.push();
    let told = checkout.refused(PREFLIGHT, &["up"]);
    says(&told, &["terraform/regions/spain.tfvars` sets `db_instance_clas`, which no stack declares"]);
    says(&told, &["did you mean `db_instance_class`?"]);
}

#[test]
fn all_that_is_not_ready_is_told_at_once_each_with_its_remedy() {
    let checkout = Checkout::new();
    checkout.without_tool("helm");
    checkout.edit("paydeploy.toml", "us-east-1", "ap-east-1");
    checkout.edit("paydeploy.toml", "api-es.payments.example", "api-es.elsewhere.example");
    checkout.edit("terraform/regions/spain.tfvars", "payments.example", "elsewhere.example");
    checkout.commit("not pushed");
    checkout.write("notes.md", "");
    let told = checkout.refused(PREFLIGHT, &["up"]);
    says(&told, &["5 things are not ready", "`helm` is not on PATH", "`ap-east-1` is not enabled"]);
    says(&told, &["`elsewhere.example`", ": notes.md", "does not hold commit"]);
    assert_eq!(told.matches("\n        fix: ").count(), 5, "{told}");
}

#[test]
fn a_second_run_on_this_machine_is_told_who_is_at_work() {
    let checkout = Checkout::new();
    fs::create_dir(checkout.path(".paydeploy")).unwrap();
    let first = Lock::take(&checkout.path(".paydeploy"), &RunId::named("the-first")).unwrap();
    let owner = format!("another run is under way here: run the-first, process {}", std::process::id());
    for command in [&["up"][..], &["plan"], &["phase", "apps"], &["down", "--yes"], &["status", "--drift"]] {
        says(&checkout.refused(5, command), &[&owner, "fix: wait until it has ended"]);
    }
    // who only looks is in nobody's way
    checkout.refused(3, &["status"]);
    drop(first);
    checkout.refused(0, &["plan"]);
}

#[test]
fn a_journal_of_a_newer_format_is_left_to_the_program_that_wrote_it() {
    let checkout = Checkout::new();
    fs::create_dir_all(checkout.path(".paydeploy/runs/newest")).unwrap();
    let journal = ".paydeploy/runs/newest/journal.ndjson";
    checkout.write(journal, "{\"format\":2,\"run\":\"newest\"}\n{\"what\":\"is new\"}\n");
    for command in [&["up"][..], &["down", "--yes"], &["phase", "apps"], &["logs"]] {
        says(&checkout.refused(2, command), &[journal, "has format 2", "use the newer paydeploy"]);
    }
    assert_eq!(fs::read_dir(checkout.path(".paydeploy/runs")).unwrap().count(), 1, "no run was begun");
}

/// The program where no file may grow beyond some blocks of 512 or 1024 bytes: it fails to write as on a full disk.
fn on_a_full_disk(checkout: &Checkout, blocks: u32, args: &[&str]) -> Command {
    let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let mut command = checkout.command("/bin/sh");
    command.args(["-c", &limited, env!("CARGO_BIN_EXE_paydeploy")]).args(args);
    command
}

#[test]
fn a_full_disk_stops_a_run_before_it_begins() {
    let checkout = Checkout::new();
    for command in [&["up"][..], &["down", "--yes"]] {
        let told = checkout.changed_nothing(1, &mut on_a_full_disk(&checkout, 0, command));
        says(
            &told,
            &["failed to make `.paydeploy`", "fix: make the folder writable and see that its disk has room"],
        );
    }
    // the folder is there from an earlier run
    checkout.refused(0, &["plan"]);
    for command in [&["up"][..], &["down", "--yes"]] {
        let told = checkout.changed_nothing(1, &mut on_a_full_disk(&checkout, 0, command));
        says(&told, &[".paydeploy/lock`", "fix: make room on the disk that holds `.paydeploy`"]);
    }
    let told = checkout.changed_nothing(PREFLIGHT, &mut on_a_full_disk(&checkout, 0, &["status"]));
    says(&told, &["failed to write the log", "fix: see that the disk of `.paydeploy` has room"]);
}

#[test]
fn a_disk_that_fills_up_stops_a_run_that_can_no_longer_write_down_what_it_does() {
    let checkout = Checkout::new();
    let told = checkout.changed_nothing(1, &mut on_a_full_disk(&checkout, 1, &["up"]));
    says(
        &told,
        &["failed to write the journal `", "fix: make room on the disk", "run the same command again"],
    );
    // what is left of the journal is in nobody's way
    checkout.refused(0, &["plan"]);
    says(&fs::read_to_string(checkout.path(".paydeploy/.gitignore")).unwrap(), &["*"]);
}

#[test]
fn nobody_takes_a_deployment_down_without_a_word() {
    let checkout = Checkout::new();
    let told = checkout.refused(2, &["down"]);
    says(
        &told,
        &["stays: the state bucket of each region", "standard input is no terminal", "fix: add `--yes`"],
    );
}

#[test]
fn a_wrong_name_takes_nothing_down() {
    let checkout = Checkout::new();
    // `script` is the terminal at which somebody types
    let mut terminal = checkout.command("script");
    let down = format!("'{}' down", env!("CARGO_BIN_EXE_paydeploy"));
    terminal.args(["--quiet", "--return", "--command", &down, "/dev/null"]);
    let path = format!("{}:{}", checkout.path("../bin").display(), env!("PATH"));
    terminal.env("PATH", path).env("SHELL", "/bin/sh").stdin(typed("payment-latency-apj\n"));
    let told = checkout.changed_nothing(2, &mut terminal);
    says(&told, &["type `payment-latency-api` to take all of this down", "not confirmed: nothing was done"]);
}

/// Standard input with this text, and then nothing more.
fn typed(text: &str) -> Stdio {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    file.into()
}

#[test]
fn a_phase_whose_earlier_phases_have_not_run_names_them() {
    let checkout = Checkout::new();
    for phase in ["kubeconfig", "docker", "helm-deps", "secrets", "argocd", "apps"] {
        let told = checkout.refused(PREFLIGHT, &["phase", phase]);
        says(&told, &["missing: terraform/spain/state", "missing: terraform/mexico/state"]);
        says(&told, &["fix: run `paydeploy phase terraform` first, or `paydeploy up`"]);
    }
}
