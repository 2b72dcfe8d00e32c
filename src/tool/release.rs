//! A child that waits until it is released: it must not act before its record is on disk.
//!
//! 1. paydeploy starts itself as `paydeploy __exec PROGRAM ARGUMENTS...`, with a pipe as standard input.
//! 2. It records the child's id and start time, and waits until the record is on disk.
//! 3. It writes one byte. The helper replaces itself by the program, so that id and start time stay those on record.
//!
//! If paydeploy dies in between, the pipe closes and the helper ends without having done anything. The standard
//! library could do the same with `pre_exec`, but only in unsafe code, which this crate forbids.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Read as _, Write as _},
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode, Stdio},
};

/// The hidden subcommand.
pub(super) const WORD: &str = "__exec";

/// The exit code of a shell for a program that cannot be executed.
const CANNOT_START: u8 = 126;

/// The helper for a program: what to start, and its first arguments.
pub(super) fn helper() -> (&'static OsStr, &'static [&'static str]) {
    if cfg!(test) {
        // The executable of unit tests has no `__exec`. A shell does the same, except that its program starts later.
        return (OsStr::new("/bin/sh"), &["-c", "read -r _ || exit 0; exec \"$@\" </dev/null", "sh"]);
    }
    // The running executable itself, even if the file on disk has been replaced meanwhile.
    (OsStr::new("/proc/self/exe"), &[WORD])
}

/// `paydeploy __exec`: waits for a byte on standard input, then becomes the program.
pub(super) fn main(command: &[OsString]) -> ExitCode {
    let Some((program, args)) = command.split_first() else { return ExitCode::from(CANNOT_START) };
    if io::stdin().read_exact(&mut [0]).is_err() {
        // paydeploy has died, or has decided against the child.
        return ExitCode::SUCCESS;
    }
    // Without standard input a tool that asks a question fails immediately instead of waiting for an answer.
    let error = Command::new(program).args(args).stdin(Stdio::null()).exec();
    // Standard error is the step's log. If it cannot be written, the exit code remains.
    drop(writeln!(io::stderr(), "failed to start `{}`: {error}", program.display()));
    ExitCode::from(CANNOT_START)
}
