//! The child's side: a hidden subcommand of paydeploy that an AWS SDK starts.

use std::{
    ffi::OsString,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    process::ExitCode,
    time::Duration,
};

/// The hidden subcommand.
const WORD: &str = "__credentials";
/// Longer than the run needs to answer, and shorter than an SDK waits.
const DEADLINE: Duration = Duration::from_secs(50);

/// The command by which an SDK asks the run that listens under a name.
pub(super) fn command(name: &str) -> String {
    // The executable of the run itself, even if the file on disk has been replaced meanwhile. Neither path nor name needs
    // a quote, about which SDKs disagree.
    format!("/proc/{}/exe {WORD} {name}", std::process::id())
}

/// Runs the hidden subcommand; `None` if the arguments are others.
pub fn helper(args: &[OsString]) -> Option<ExitCode> {
    let name = match args {
        [_, word, name] if word == WORD => name.to_str()?,
        _ => return None,
    };
    let printed = ask(name).and_then(|answer| io::stdout().write_all(answer.as_bytes()));
    Some(match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The SDK shows it, if anything can be written.
            drop(writeln!(io::stderr(), "paydeploy: {error}"));
            ExitCode::FAILURE
        }
    })
}

/// Asks the run for credentials.
pub(super) fn ask(name: &str) -> io::Result<String> {
    let stream = UnixStream::connect_addr(&super::address(name)?).map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => io::Error::other("the run that started this process has ended"),
        _ => error,
    })?;
    // After the run has ended, anybody may listen under its name.
    let run = rustix::net::sockopt::socket_peercred(&stream)?;
    if run.uid != rustix::process::getuid() {
        return Err(io::Error::other("a process of another user listens in place of the run"));
    }
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut answer = String::new();
    (&stream).read_to_string(&mut answer)?;
    let parsed: serde_json::Value = serde_json::from_str(&answer)
        .map_err(|_| io::Error::other("the run that started this process has just ended"))?;
    match parsed["error"].as_str() {
        Some(error) => Err(io::Error::other(error.to_owned())),
        None => Ok(answer),
    }
}
