//! The state folder: one run at a time, a newer journal, a full disk, an early Ctrl-C.

use std::{
    fs,
    process::{Command, Stdio},
};

use paydeploy::{state::RunLock, step::RunId};

use super::assert_contains;
use crate::{
    account::account,
    checkout::Checkout,
    world::{printed, text},
};

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
fn a_second_run_on_this_machine_is_refused_and_names_the_first() {
    let checkout = Checkout::new();
    fs::create_dir(checkout.path(".paydeploy")).unwrap();
    let first = RunLock::take(&checkout.path(".paydeploy"), &RunId::named("the-first")).unwrap();
    let owner = format!("another run holds the lock: run the-first, process {}", std::process::id());
    for command in [&["up"][..], &["plan"], &["phase", "apps"], &["down", "--yes"], &["status", "--drift"]] {
        assert_contains(
            &checkout.refused(5, command),
            &[&owner, "fix: wait for that run with `--lock-wait 30m`, or interrupt it"],
        );
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
    // It writes nothing.
    checkout.changed_nothing(3, &mut on_a_full_disk(&checkout, 0, &["status"]));
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
