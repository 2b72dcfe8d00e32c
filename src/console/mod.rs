//! Standard output and standard error, which never stop a run.
//!
//! A terminal that is stopped (Ctrl-S), a pipe whose reader never reads and a slow ssh connection block whoever writes
//! to them. So each stream has a thread that does the writing ([`Lane`]), and everything that paydeploy prints goes
//! through it in order. `println!` and `eprintln!` are replaced for the whole crate: those of the standard library
//! block, and panic when the reader has closed its end (`paydeploy status | head -1`).

mod lane;

use std::{
    fmt,
    io::{self, Write},
    sync::LazyLock,
    time::Duration,
};

pub use lane::Lane;

/// How long a stream may accept nothing at the end of a command before the rest is given up. By then nothing runs and
/// no lock is held; a CI system that reads slowly still gets everything, and one that never reads loses half a minute.
const PATIENCE: Duration = Duration::from_secs(30);

/// Standard output: results, or one JSON object per event.
pub fn stdout() -> &'static Lane {
    static LANE: LazyLock<Lane> = LazyLock::new(Lane::start);
    &LANE
}

/// Standard error: progress, warnings and errors.
pub fn stderr() -> &'static Lane {
    static LANE: LazyLock<Lane> = LazyLock::new(Lane::start);
    &LANE
}

#[doc(hidden)]
pub fn print(text: fmt::Arguments<'_>) {
    let text = text.to_string();
    stdout().push(move || write(io::stdout(), &text));
}

#[doc(hidden)]
pub fn print_error(text: fmt::Arguments<'_>) {
    let text = text.to_string();
    stderr().push(move || write(io::stderr(), &text));
}

fn write(mut stream: impl Write, text: &str) {
    // A reader that has closed its end has seen enough, and the exit code still says how the command ended.
    drop(stream.write_all(text.as_bytes()).and_then(|()| stream.flush()));
}

/// Waits until everything is written, as far as the readers read. Called once, when a command has ended.
pub fn flush() {
    if !stdout().flush(PATIENCE) {
        eprintln!("standard output has accepted nothing for {} s: the rest is lost", PATIENCE.as_secs());
    }
    // If this one is stuck, there is nowhere left to report it. The journal has every event.
    stderr().flush(PATIENCE);
}
