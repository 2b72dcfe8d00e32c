//! Interrupts the children when paydeploy dies, each exactly once.
//!
//! A terraform that outlives a killed paydeploy would go on for up to an hour without anyone who waits for it. One
//! SIGINT makes it save its state and end; a second one would make it end without saving. So a small process, the
//! guard, holds the other end of a pipe: it learns which children run and which were already interrupted, and when
//! the pipe closes because paydeploy has died, it sends one SIGINT to those that remain.
//!
//! The kernel's parent-death signal is not used: it is bound to the thread that started the child, and a process with
//! several threads that is killed sends it once per thread that the child was passed on to. In 30 kills of a process
//! with nine threads, four children received two or three.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{self, BufRead as _, Write as _},
    os::unix::process::CommandExt as _,
    process::{ChildStdin, Command, ExitCode, Stdio},
    sync::{Mutex, PoisonError},
};

use rustix::process::{Pid, Signal, kill_process};

use super::process::start_time;

/// The hidden subcommand.
pub(super) const WORD: &str = "__guard";

/// The pipe to the guard; `None` before the first child, and after a guard that was killed.
static GUARD: Mutex<Option<ChildStdin>> = Mutex::new(None);

/// Interrupts this child if paydeploy dies.
pub(super) fn watch(pid: u32, start: u64) {
    send(&format!("+{pid} {start}\n"));
}

/// Leaves this child alone: it was interrupted, or has ended.
pub(super) fn forget(pid: u32) {
    send(&format!("-{pid}\n"));
}

fn send(line: &str) {
    // The executable of unit tests has no `__guard`.
    if cfg!(test) {
        return;
    }
    let mut guard = GUARD.lock().unwrap_or_else(PoisonError::into_inner);
    if guard.is_none() {
        *guard = start();
    }
    // A guard that cannot be started or was killed is no reason to fail: without it, the next run waits for what
    // outlives this one, which only takes longer. The next child tries again.
    if let Some(pipe) = &mut *guard
        && pipe.write_all(line.as_bytes()).is_err()
    {
        *guard = None;
    }
}

fn start() -> Option<ChildStdin> {
    let mut command = Command::new(OsStr::new("/proc/self/exe"));
    // In its own process group, because Ctrl-C in the terminal must not end it before the children have ended.
    command.arg(WORD).env_clear().current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().ok()?.stdin
}

/// `paydeploy __guard`: reads until the pipe closes, then interrupts what still runs.
pub(super) fn main() -> ExitCode {
    let mut children = BTreeMap::new();
    // A line that cannot be read ends the loop like the end of the pipe: paydeploy writes only whole lines.
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        note(&mut children, &line);
    }
    for (pid, start) in children {
        // The start time distinguishes the child from a later process with the same id.
        if let Some(pid) = Pid::from_raw(pid.cast_signed())
            && start_time(pid.as_raw_nonzero().get().cast_unsigned()) == Some(start)
        {
            // The error is swallowed because the child may have ended in the meantime.
            kill_process(pid, Signal::INT).ok();
        }
    }
    ExitCode::SUCCESS
}

fn note(children: &mut BTreeMap<u32, u64>, line: &str) {
    if let Some((pid, start)) = line.strip_prefix('+').and_then(|rest| rest.split_once(' ')) {
        if let (Ok(pid), Ok(start)) = (pid.parse(), start.parse()) {
            children.insert(pid, start);
        }
    } else if let Some(Ok(pid)) = line.strip_prefix('-').map(str::parse) {
        children.remove(&pid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_children_that_run_and_were_not_interrupted_remain() {
        let mut children = BTreeMap::new();
        for line in ["+7 70", "+8 80", "-7", "noise", "+9", "+9 90"] {
            note(&mut children, line);
        }
        assert_eq!(children, BTreeMap::from([(8, 80), (9, 90)]));
    }
}
