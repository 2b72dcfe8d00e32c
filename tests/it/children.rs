//! Child processes: recorded before they act, and interrupted exactly once when paydeploy dies or is stopped.

use std::{
    fs,
    io::Write as _,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{checkout::Checkout, world::text};

const PAYDEPLOY: &str = env!("CARGO_BIN_EXE_paydeploy");

/// Traps SIGINT: writes a line for each, and ends at the first unless it is told to stay.
const TRAP: &str = "trap 'echo int >>\"$0\"; [ -e \"$0.stay\" ] || exit 1' INT; echo $$ >\"$0.ready\"; \
                    while :; do read -r _ </proc/self/stat; done";

fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "timed out: {what}");
        std::thread::yield_now();
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn helper(args: &[&str]) -> Command {
    let mut helper = Command::new(PAYDEPLOY);
    helper.args(args);
    helper
}

#[test]
fn a_child_that_is_never_released_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let effect = dir.path().join("effect");
    // The end of the pipe: paydeploy has died between the start of the child and its record.
    let status = helper(&["__exec", "touch"]).arg(&effect).stdin(Stdio::null()).status().unwrap();
    assert_eq!((status.code(), effect.exists()), (Some(0), false));
}

#[test]
fn a_released_child_keeps_its_process_id_and_has_no_input() {
    let mut helper = helper(&["__exec", "sh", "-c", "cat; echo $$"]);
    let mut child = helper.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    child.stdin.take().unwrap().write_all(b"\nnot for the program").unwrap();
    let printed = child.wait_with_output().unwrap().stdout;
    assert_eq!(String::from_utf8(printed).unwrap(), format!("{pid}\n"));
}

#[test]
fn a_program_that_cannot_be_executed_is_named() {
    let mut helper = helper(&["__exec", "/etc"]);
    let mut child = helper.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(126));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("failed to start `/etc`: "));
}

/// A process that records its interrupts, as the guard is told about it.
fn trapping(file: &Path) -> (Child, String) {
    // The test's own process may ignore SIGINT, which a shell cannot undo for its children.
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", "sh", "-c", TRAP]).arg(file).process_group(0);
    let child = command.spawn().unwrap();
    until("the process traps SIGINT", || !read(&file.with_extension("ready")).is_empty());
    let stat = read(Path::new(&format!("/proc/{}/stat", child.id())));
    let ticks = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap();
    let line = format!("+{} {ticks}\n", child.id());
    (child, line)
}

/// The guard, and the pipe by which paydeploy tells it about its children.
fn guard() -> (Child, ChildStdin) {
    let mut guard = helper(&["__guard"]).stdin(Stdio::piped()).spawn().unwrap();
    let pipe = guard.stdin.take().unwrap();
    (guard, pipe)
}

#[test]
fn the_guard_interrupts_what_still_runs_when_paydeploy_has_died_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let files = ["running", "ended", "another"].map(|name| dir.path().join(name));
    let [mut running, mut ended, mut another] = files.each_ref().map(|file| trapping(file));
    let (mut guard, mut pipe) = guard();
    // The third has the id of a child, but another start time.
    let reused = format!("+{} 1\n", another.0.id());
    write!(pipe, "{}{}-{}\n{reused}", running.1, ended.1, ended.0.id()).unwrap();
    drop(pipe);
    assert!(guard.wait().unwrap().success());
    assert_eq!(running.0.wait().unwrap().code(), Some(1));
    assert_eq!(read(&files[0]), "int\n");
    for (other, file) in [(&mut ended, &files[1]), (&mut another, &files[2])] {
        assert_eq!(other.0.try_wait().unwrap(), None);
        assert_eq!(read(file), "");
        other.0.kill().unwrap();
        other.0.wait().unwrap();
    }
}

#[test]
fn the_guard_interrupts_a_child_once_when_its_lease_expires_and_kills_it_before_another_run_acts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stays");
    fs::write(file.with_extension("stay"), "").unwrap();
    let (mut child, line) = trapping(&file);
    let (mut guard, mut pipe) = guard();
    let id = line.trim_start_matches('+').trim_end();
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let expired = Duration::from_secs(now.tv_sec.unsigned_abs());
    writeln!(pipe, "{line}={id} {}", expired.as_millis()).unwrap();
    until("it is interrupted", || !read(&file).is_empty());
    // paydeploy is continued, sees that the lease has expired, and asks for the same. What it asks for after that is done.
    let (mut other, another) = trapping(&dir.path().join("other"));
    write!(pipe, "?{id}\n{another}{}", another.replace('+', "?")).unwrap();
    assert_eq!(other.wait().unwrap().code(), Some(1));
    // It would be killed after 110 s, which the test does not wait for: it looks as if the machine had slept for as long.
    let long_ago = expired.saturating_sub(Duration::from_secs(120));
    writeln!(pipe, "={id} {}", long_ago.as_millis()).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9), "it is killed");
    assert_eq!(read(&file), "int\n", "exactly one interrupt");
    drop(pipe);
    assert!(guard.wait().unwrap().success());
}

#[test]
fn a_killed_paydeploy_interrupts_its_terraform_once_and_the_next_run_waits_for_it() {
    let checkout = Checkout::new();
    checkout.edit("paydeploy.toml", "project = \"payment-latency-api\"", "project = \"killed\"");
    checkout.edit("paydeploy.toml", "repository = \"payment-latency-api\"", "repository = \"killed\"");
    checkout.commit("another project");
    checkout.push();
    let file = checkout.path("../interrupts");
    fs::write(file.with_extension("stay"), "").unwrap();
    // One terraform traps; the others, of other stacks and later runs, fail immediately.
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = version ] && {{ echo '{{\"terraform_version\": \"1.13.4\"}}'; exit; }}\n\
         /usr/bin/mkdir '{0}.first' 2>/dev/null || exit 1\nexec sh -c '{1}' '{0}'\n",
        file.display(),
        TRAP.replace('\'', "'\\''")
    );
    let tool = checkout.path("../bin/terraform");
    let write = "printf %s \"$1\" >\"$0\" && chmod +x \"$0\"";
    text(Command::new("sh").args(["-c", write]).arg(&tool).arg(script));

    let mut up = checkout.command(PAYDEPLOY);
    up.arg("up").stdout(Stdio::null()).stderr(Stdio::null());
    // The program that the shell becomes is looked up in the PATH that it inherits.
    up.env("PATH", format!("{}:/usr/bin:/bin", checkout.path("../bin").display()));
    let mut up = up.spawn().unwrap();
    until("terraform runs", || !read(&file.with_extension("ready")).is_empty());
    let pid = read(&file.with_extension("ready")).trim().to_owned();
    up.kill().unwrap();
    up.wait().unwrap();
    until("terraform was interrupted", || !read(&file).is_empty());

    // It is still alive, so the next run waits for it; it ends only when it is told to.
    let mut next = checkout.command(PAYDEPLOY);
    let errors = fs::File::create(checkout.path("../errors")).unwrap();
    let mut next = next.arg("up").stdout(Stdio::null()).stderr(errors).spawn().unwrap();
    let waiting = format!("(process {pid}, step terraform/");
    until("the next run waits", || read(&checkout.path("../errors")).contains(&waiting));
    text(Command::new("kill").args(["-KILL", &pid]));
    assert_eq!(next.wait().unwrap().code(), Some(1), "the terraform of this test fails");
    assert_eq!(read(&file), "int\n", "exactly one interrupt");
}
