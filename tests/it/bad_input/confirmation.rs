//! Nothing is deleted before the project's name is typed.

use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
};

use super::assert_contains;
use crate::checkout::Checkout;

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
