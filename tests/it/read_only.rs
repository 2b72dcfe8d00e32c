//! What a command needs and what it gives away: `status` only reads and starts nothing, and Git gets no credentials.

use std::{fs, process::Command};

use crate::{
    checkout::Checkout,
    world::{printed, text},
};

#[test]
fn status_starts_no_process_and_changes_nothing() {
    let checkout = Checkout::new();
    // Each tool logs what it is run for.
    checkout.without_tool("git");
    checkout.tool("git", "git version 2.39.5");
    let output = checkout.refused(3, &["status"]);
    assert!(output.contains("docker"), "{output}");
    checkout.refused(3, &["status", "--output", "json"]);
}

#[test]
fn git_gets_no_aws_credentials() {
    let checkout = Checkout::new();
    let (real, seen) = (text(Command::new("sh").args(["-c", "command -v git"])), checkout.path("../seen"));
    let script = format!("#!/bin/sh\n/usr/bin/env >>'{}'\nexec {} \"$@\"\n", seen.display(), real.trim());
    checkout.without_tool("git");
    let write = "printf %s \"$1\" >\"$0\" && chmod +x \"$0\"";
    text(Command::new("sh").args(["-c", write]).arg(checkout.path("../bin/git")).arg(script));
    let output =
        checkout.command(env!("CARGO_BIN_EXE_paydeploy")).args(["phase", "preflight"]).output().unwrap();
    let seen = fs::read_to_string(seen).unwrap_or_else(|_| panic!("git was not run\n{}", printed(&output)));
    assert!(seen.contains("HOME=") && !seen.contains("AWS_"), "credentials reached git");
}
