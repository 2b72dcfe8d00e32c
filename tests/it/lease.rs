//! Several operators: each has a checkout of the same project, and one of them is at work in the region.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    checkout::{Checkout, TERRAFORM},
    power_cut::children,
    world::{ends_with, printed, text},
};

const PAYDEPLOY: &str = env!("CARGO_BIN_EXE_paydeploy");

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(120), "timed out: {what}");
        std::thread::yield_now();
    }
}

/// An operator whose checkout of the project is on this machine.
struct Operator(Checkout);

impl Operator {
    fn of(project: &str) -> Self {
        let checkout = Checkout::new();
        checkout.rename_project(project);
        Self(checkout)
    }

    fn paydeploy(&self, args: &[&str]) -> Command {
        let mut command = self.0.command(PAYDEPLOY);
        command.args(args);
        command
    }

    fn phase(&self) -> Command {
        self.phase_in("spain")
    }

    fn phase_in(&self, region: &str) -> Command {
        self.paydeploy(&["phase", "terraform", "--region", region])
    }

    /// The same command where no process of this machine can be seen, as on another machine.
    fn elsewhere(&self, args: &[&str]) -> Command {
        let mut command = self.0.command("/usr/bin/unshare");
        command.args(["--pid", "--fork", "--mount-proc", PAYDEPLOY]).args(args);
        command
    }

    fn log(&self) -> PathBuf {
        self.0.path("../log")
    }

    fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Starts a command, whose messages `said` returns.
    fn start(&self, command: &mut Command) -> Child {
        let log = fs::File::create(self.log()).unwrap();
        command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// A run that holds the region: its first terraform works until it is interrupted.
    fn at_work(&self) -> Child {
        self.at_work_in("spain", "exit 1")
    }

    /// The same, in a region, with what terraform does when it is interrupted.
    fn at_work_in(&self, region: &str, interrupted: &str) -> Child {
        let script = format!(
            "trap '{interrupted}' INT; echo \"terraform $*\" >>\"$RAN\"; while :; do /bin/sleep 0.1; done"
        );
        self.0.stand_in("terraform", TERRAFORM, &script);
        let mut run = self.start(&mut self.phase_in(region));
        until("its terraform runs", || {
            assert!(run.try_wait().unwrap().is_none(), "it ended: {}", self.said());
            self.has_worked()
        });
        run
    }

    fn has_worked(&self) -> bool {
        self.0.ran().contains("terraform ")
    }
}

fn signal(name: &str, run: &Child) {
    let sent = Command::new("kill").args([name, &run.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_second_operator_is_refused_sees_who_is_at_work_and_can_wait() {
    let (ana, ben) = (Operator::of("two-operators"), Operator::of("two-operators"));
    let mut work = ana.at_work();
    let refused = ends_with(5, &mut ben.phase());
    let holder = "(`paydeploy phase terraform --region spain`";
    assert!(
        refused.contains("error: region `spain` is held by run ") && refused.contains(holder),
        "{refused}"
    );
    assert!(refused.contains("fix: wait for it with `--lock-wait 30m`"), "{refused}");
    assert!(ben.0.lasting_changes().is_empty() && !ben.has_worked(), "{refused}");
    let shown = ends_with(0, &mut ben.paydeploy(&["lock", "show"]));
    assert!(shown.contains("spain    held by run ") && shown.contains("mexico   free"), "{shown}");
    let kept = ends_with(5, &mut ben.paydeploy(&["lock", "break", "spain", "--yes"]));
    assert!(kept.contains("is running on this machine"), "{kept}");

    let mut waits = ben.start(ben.phase().args(["--lock-wait", "10m"]));
    until("it waits", || ben.said().contains("which holds region `spain`: it is running"));
    assert!(!ben.has_worked());
    signal("-INT", &work);
    assert_eq!(work.wait().unwrap().code(), Some(130), "{}", ana.said());
    // The tool that only prints its version fails immediately.
    assert_eq!(waits.wait().unwrap().code(), Some(1), "{}", ben.said());
    assert!(ben.has_worked(), "{}", ben.said());
    let shown = ends_with(0, &mut ben.paydeploy(&["lock", "show"]));
    assert!(shown.contains("spain    free"), "{shown}");
}

#[test]
fn a_run_whose_lease_is_removed_stops_before_its_next_effect_and_says_who_removed_it() {
    let (ana, ben) = (Operator::of("removed-lease"), Operator::of("removed-lease"));
    let mut work = ana.at_work();
    let removed = ends_with(0, &mut ben.elsewhere(&["lock", "break", "spain", "--yes"]));
    assert!(removed.contains("region `spain` is free"), "{removed}");
    assert_eq!(work.wait().unwrap().code(), Some(5), "{}", ana.said());
    let said = ana.said();
    assert!(
        said.contains("(`paydeploy lock break spain` by ") && said.contains("has taken the lease"),
        "{said}"
    );
    let shown = ends_with(0, &mut ben.paydeploy(&["lock", "show"]));
    assert!(shown.contains("spain    free"), "{shown}");
}

#[test]
fn a_run_of_another_operator_is_listed_and_its_steps_are_shown() {
    let (ana, ben) = (Operator::of("shown-runs"), Operator::of("shown-runs"));
    let mut work = ana.at_work();
    let listed = || ends_with(0, &mut ben.paydeploy(&["runs"]));
    until("its run is listed", || listed().contains("phase terraform --region spain"));
    assert!(listed().contains(" running "), "{}", listed());
    signal("-INT", &work);
    assert_eq!(work.wait().unwrap().code(), Some(130), "{}", ana.said());
    assert!(listed().contains(" interrupted "), "{}", listed());

    let json = text(&mut ben.paydeploy(&["runs", "--output", "json"]));
    let run = serde_json::from_str::<serde_json::Value>(&json).unwrap()["runs"][0].clone();
    assert_eq!((&run["is_here"], &run["copies"][0]), (&false.into(), &"spain".into()), "{json}");
    let id = run["run"].as_str().unwrap();
    let shown = ends_with(0, &mut ben.paydeploy(&["logs", &id[..12]]));
    assert!(shown.contains(&format!("run {id} · phase terraform")), "{shown}");
    assert!(shown.contains("✓ terraform/spain/state"), "{shown}");
    let log = ends_with(2, &mut ben.paydeploy(&["logs", id, "terraform/spain/state"]));
    assert!(log.contains("the log of `terraform/spain/state` stays on "), "{log}");
}

#[test]
fn a_run_that_was_killed_is_taken_over_without_a_wait() {
    let (ana, ben) = (Operator::of("killed-holder"), Operator::of("killed-holder"));
    let mut work = ana.at_work();
    work.kill().unwrap();
    work.wait().unwrap();
    let shown = ends_with(0, &mut ben.paydeploy(&["lock", "show"]));
    assert!(shown.contains("it has ended, and the next run takes over"), "{shown}");
    let output = ben.phase().output().unwrap();
    let printed = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(ben.has_worked() && !printed.contains("waiting for run"), "{printed}");
}

#[test]
fn two_jobs_for_different_spokes_work_at_the_same_time() {
    let operator = || {
        let checkout = Checkout::of_regions(3);
        checkout.rename_project("two-spokes");
        Operator(checkout)
    };
    let (ana, ben) = (operator(), operator());
    let mut works = [ana.at_work_in("spoke-1", "exit 1"), ben.at_work_in("spoke-2", "exit 1")];
    let shown = ends_with(0, &mut ben.paydeploy(&["lock", "show"]));
    for (region, state) in [("spoke-1", "held by run "), ("spoke-2", "held by run "), ("spain  ", "free")] {
        assert!(shown.contains(&format!("{region}  {state}")), "{region}: {shown}");
    }
    for work in &mut works {
        signal("-INT", work);
        assert_eq!(work.wait().unwrap().code(), Some(130), "{}{}", ana.said(), ben.said());
    }
}

#[test]
fn a_job_that_is_interrupted_and_killed_before_its_terraform_has_ended_is_taken_over() {
    let (ana, ben) = (Operator::of("cancelled-job"), Operator::of("cancelled-job"));
    // It is told once, and would save its state for longer than the forge waits.
    let mut work = ana.at_work_in("spain", "echo interrupted >>\"$RAN\"");
    signal("-INT", &work);
    until("its terraform is interrupted", || ana.0.ran().contains("interrupted"));
    let children = children(work.id()).into_iter().map(|child| format!("-{child}"));
    // As a container that ends: everything at the same time.
    let group = children.collect::<Vec<_>>();
    Command::new("kill").args(["-KILL", "--", &work.id().to_string()]).args(group).status().unwrap();
    work.wait().unwrap();
    let output = ben.phase().output().unwrap();
    let printed = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(ben.has_worked(), "{printed}");
}

#[test]
fn the_time_to_wait_has_to_be_a_duration() {
    let output = ends_with(2, Operator::of("no-duration").phase().args(["--lock-wait", "soon"]));
    assert!(output.contains("expected a duration such as `90s`, `30m` or `1h 30m`"), "{output}");
}
