//! A power cut on the sandbox: paydeploy and all that it has started die at once, and the machine boots again.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{SPAIN, access::remove_mexico, section, verify::region_runs};
use crate::world::{World, ends_with};

pub fn a_teardown_continues_after_one_although_the_region_is_no_longer_configured(world: &World) {
    section("down of one region: a power cut in the middle, then up --prune without that region");
    let is_deleting =
        |event: &Value| event["event"] == "effect-started" && event["step"]["part"] == "cluster";
    cut(world, &["down", "--yes", "--region", "mexico", "--output", "json"], is_deleting);
    remove_mexico(&world.workspace);
    world.commit("only Spain");
    let output = ends_with(0, &mut world.paydeploy(&["up", "--prune", "--yes"]));
    assert!(output.contains("deleting region mexico: "), "{output}");
    ends_with(0, &mut world.paydeploy(&["status"]));
    region_runs(world, SPAIN, &world.head());
}

/// Runs a command until an event, and then kills it with everything that it has started.
fn cut(world: &World, args: &[&str], at: impl Fn(&Value) -> bool) {
    let dir = tempfile::tempdir().unwrap();
    let boot = dir.path().join("boot_id");
    fs::write(&boot, "6f1c9a52-8a3e-4b39-9d43-0c1d6f2b7a10\n").unwrap();
    // The first process of a process namespace takes all others with it. It sees another boot id than the next run.
    let inside = r#"mount --bind "$1" /proc/sys/kernel/random/boot_id && shift && exec "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child=KILL", "--mount-proc", "sh", "-c", inside, "sh"]);
    command.arg(&boot).arg(env!("CARGO_BIN_EXE_paydeploy")).args(args).current_dir(&world.workspace);
    let mut run = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(run.stdout.take().unwrap()).lines();
    let mut events = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    assert!(events.any(|event: Value| at(&event)), "{args:?} ended before the power cut");
    run.kill().unwrap();
    run.wait().unwrap();
}
