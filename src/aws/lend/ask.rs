//! The child's side: a hidden subcommand of paydeploy that an AWS SDK starts.

use std::{
    ffi::OsString,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    process::ExitCode,
    time::Duration,
};

use super::{SOCKET, short};

/// The hidden subcommand.
const WORD: &str = "__credentials";
/// Longer than the run needs to answer, and shorter than an SDK waits.
const DEADLINE: Duration = Duration::from_secs(50);

/// The command by which an SDK asks the run.
pub(super) fn command() -> String {
    // The executable of the run itself, even if the file on disk has been replaced meanwhile. It needs no quotes, about
    // which SDKs disagree.
    format!("/proc/{}/exe {WORD}", std::process::id())
}

/// Runs the hidden subcommand; `None` if the arguments are others.
pub fn helper(args: &[OsString]) -> Option<ExitCode> {
    if !matches!(args, [_, word] if word == WORD) {
        return None;
    }
    let asked = match std::env::var_os(SOCKET) {
        Some(socket) => ask(Path::new(&socket)),
        None => Err(io::Error::other(format!("{SOCKET} is not set"))),
    };
    Some(match asked.and_then(|answer| io::stdout().write_all(answer.as_bytes())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The SDK shows it, if anything can be written.
            drop(writeln!(io::stderr(), "paydeploy: {error}"));
            ExitCode::FAILURE
        }
    })
}

/// Asks the run for credentials.
pub(super) fn ask(socket: &Path) -> io::Result<String> {
    let connect = || {
        let (_folder, path) = short(socket)?;
        UnixStream::connect(path)
    };
    let stream = connect().map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
            io::Error::other("the run that started this process has ended")
        }
        _ => error,
    })?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut answer = String::new();
    (&stream).read_to_string(&mut answer).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::other("the run does not answer: is it stopped?"),
        _ => error,
    })?;
    let parsed: serde_json::Value = serde_json::from_str(&answer)
        .map_err(|_| io::Error::other("the run that started this process has just ended"))?;
    match parsed["error"].as_str() {
        Some(error) => Err(io::Error::other(error.to_owned())),
        None => Ok(answer),
    }
}
