//! How paydeploy runs Terraform, as a stand-in for Terraform sees it: what is run, in which order, and with which files.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    checkout::Checkout,
    world::{ends_with, text},
};

/// What every stand-in does: it records its command, without the folder, and initialises the folder.
const COMMON: &str = r#"
PATH=/usr/bin:/bin
folder=${1#-chdir=}; shift
cd "$folder" || exit
# The part of a command that has no path in it.
case $1 in
  state) echo "$1 $2 ${4##*/}" >>"$RAN" ;;
  *) echo "$1" >>"$RAN" ;;
esac
fail() { echo '{"type":"diagnostic","diagnostic":{"severity":"error","summary":"'"$1"'"}}'; exit 1; }
if [ "$1" = init ]; then
  mkdir -p .terraform
  echo '{"backend":{"type":"s3"}}' >.terraform/terraform.tfstate
fi
"#;

/// One resource to create, as `plan -json` prints it.
const PLANNED: &str = r#"{"type":"planned_change","change":{"resource":{"addr":"aws_vpc.this","resource":"aws_vpc.this"},"action":"create"}}
{"type":"change_summary","changes":{"add":1,"change":0,"import":0,"remove":0,"operation":"plan"}}"#;

/// A clone whose `terraform` runs this script after [`COMMON`].
fn checkout(project: &str, script: &str) -> Checkout {
    let checkout = Checkout::new();
    checkout.rename_project(project);
    checkout.stand_in("terraform", "{\"terraform_version\": \"1.13.4\"}", &format!("{COMMON}{script}"));
    checkout
}

fn in_spain(checkout: &Checkout, code: i32) -> String {
    let mut phase = checkout.command(env!("CARGO_BIN_EXE_paydeploy"));
    ends_with(code, phase.args(["phase", "terraform", "--region", "spain"]))
}

/// Puts the state there that an interrupted Terraform could not save.
fn unsaved_state(checkout: &Checkout) -> PathBuf {
    let folder = checkout.path(".paydeploy/terraform/spain/stacks/foundation");
    fs::create_dir_all(&folder).unwrap();
    let unsaved = folder.join("errored.tfstate");
    fs::write(&unsaved, "{}").unwrap();
    unsaved
}

#[test]
fn a_state_that_could_not_be_saved_is_pushed_before_anything_is_planned() {
    let checkout = checkout("pushed", r#"[ "$1" != plan ] || fail "far enough""#);
    let unsaved = unsaved_state(&checkout);
    in_spain(&checkout, 1);
    assert_eq!(checkout.ran(), "init\nstate push errored.tfstate\nplan\n");
    assert!(!unsaved.exists(), "it is pushed once");
}

#[test]
fn a_state_that_cannot_be_pushed_is_kept_and_nothing_is_planned() {
    let checkout = checkout("unpushed", r#"[ "$1" != state ] || { echo "serial 3 is older"; exit 1; }"#);
    let unsaved = unsaved_state(&checkout);
    let output = in_spain(&checkout, 1);
    assert_eq!(checkout.ran(), "init\nstate push errored.tfstate\n");
    assert!(unsaved.exists());
    assert!(
        output.contains("serial 3 is older") && output.contains("fix: it describes resources"),
        "{output}"
    );
}

#[test]
fn what_is_applied_is_the_plan_that_was_judged() {
    let script = format!(
        r#"
for last; do :; done
case $1 in
  plan)
    for argument; do case $argument in -out=*) echo "plan $$" >"${{argument#-out=}}"; cat "${{argument#-out=}}" >>"$RAN" ;; esac; done
    echo '{PLANNED}'
    exit 2 ;;
  apply) cat "$last" >>"$RAN"; fail "far enough" ;;
esac"#
    );
    let checkout = checkout("planned", &script);
    in_spain(&checkout, 1);
    let ran = checkout.ran();
    let lines: Vec<&str> = ran.lines().collect();
    let [init, plan, planned, apply, applied] = lines[..] else { panic!("{ran}") };
    assert_eq!([init, plan, apply], ["init", "plan", "apply"]);
    assert!(planned.starts_with("plan ") && planned.len() > 5, "{ran}");
    assert_eq!(applied, planned);
}

#[test]
fn a_terraform_that_speaks_another_version_is_refused_before_it_changes_anything() {
    let script = format!(
        r#"[ "$1" != plan ] || {{ echo '{{"type":"version","ui":"2.0"}}'; echo '{PLANNED}'; exit 2; }}"#
    );
    let checkout = checkout("newer", &script);
    let output = in_spain(&checkout, 1);
    assert_eq!(checkout.ran(), "init\nplan\n");
    assert!(output.contains("terraform prints messages of version 2.0"), "{output}");
    assert!(output.contains("fix: use a newer `paydeploy`, or an older terraform"), "{output}");
}

/// A clone whose `init` waits until the gate is opened, and whose plans fail.
fn gated(project: &str) -> (Checkout, PathBuf) {
    // To open the reading end of a FIFO waits for a writer. The limit ends the test if none comes.
    let script = r#"
case $1 in
  init) timeout 60 sh -c ': <"$0"' "${RAN%/*}/gate" ;;
  plan) fail "far enough" ;;
esac"#;
    let checkout = checkout(project, script);
    let gate = checkout.path("../gate");
    text(Command::new("mkfifo").arg(&gate));
    (checkout, gate)
}

#[test]
fn the_provider_cache_is_filled_by_one_init_at_a_time() {
    let (checkout, gate) = gated("cached");
    let mut phase = checkout.command(env!("CARGO_BIN_EXE_paydeploy"));
    phase.args(["phase", "terraform", "--output", "json"]).stdout(Stdio::piped());
    let mut phase = phase.spawn().unwrap();
    let (mut waiting, mut opened) = (0, None);
    let (mut running, mut most, mut inits) = (Vec::new(), 0, 0);
    for line in BufReader::new(phase.stdout.take().unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        match event["event"].as_str().unwrap() {
            "step-progress" if event["text"] == "initialising" => {
                waiting += 1;
                // Both regions want to initialise, so a second `init` that does not wait starts now.
                if waiting == 2 {
                    opened = Some(File::options().read(true).write(true).open(&gate).unwrap());
                }
            }
            "child-started" if event["command"].as_str().unwrap().contains(" init ") => {
                inits += 1;
                running.push(event["pid"].clone());
                most = most.max(running.len());
            }
            "child-ended" => running.retain(|pid| *pid != event["pid"]),
            _ => {}
        }
    }
    assert_eq!(phase.wait().unwrap().code(), Some(1));
    assert!(opened.is_some(), "both regions initialise");
    assert_eq!((inits, most), (2, 1), "two inits, never two at a time");
}

#[test]
fn each_step_has_its_own_log_and_each_line_names_its_step() {
    let checkout = checkout("logged", r#"[ "$1" != plan ] || fail "planned in $folder""#);
    let mut phase = checkout.command(env!("CARGO_BIN_EXE_paydeploy"));
    let output = phase.args(["phase", "terraform", "--output", "lines"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));

    let runs = fs::read_dir(checkout.path(".paydeploy/runs")).unwrap();
    let [run] = &runs.map(|run| run.unwrap().path()).collect::<Vec<_>>()[..] else { panic!("one run") };
    let mentions = |log: &str, region: &str| log.contains(&format!("/.paydeploy/terraform/{region}/"));
    for (region, other) in [("spain", "mexico"), ("mexico", "spain")] {
        let log = fs::read_to_string(run.join(format!("terraform.{region}.foundation.log"))).unwrap();
        assert!(mentions(&log, region) && !mentions(&log, other), "{log}");
    }

    let printed = String::from_utf8(output.stderr).unwrap();
    let is_timed =
        |line: &&str| line.as_bytes().get(2) == Some(&b':') && line.as_bytes().get(5) == Some(&b':');
    // The first line is the run's own.
    let lines: Vec<&str> = printed.lines().filter(is_timed).skip(1).collect();
    assert!(lines.len() > 5, "{printed}");
    for line in lines {
        let of_step = ["preflight/", "terraform/spain/", "terraform/mexico/", "running: "];
        assert!(of_step.iter().any(|step| line.contains(step)), "{line}");
    }
}
