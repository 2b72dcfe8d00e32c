//! Ends the children when paydeploy cannot: it has died, or does not run although its machine does.
//!
//! A terraform that outlives a killed paydeploy would go on for up to an hour without anyone who waits for it. One whose
//! paydeploy is stopped (SIGSTOP, Ctrl-Z) would go on after another run has taken over. So a small process, the guard,
//! holds the other end of a pipe, and learns which children run and until when they may (`Fence::until`).
//!
//! 1. When the pipe closes because paydeploy has died, it interrupts all children that were not interrupted yet.
//! 2. When a child's time is over, it interrupts this one.
//! 3. What still runs when another run may act soon, it kills. It stays after paydeploy's death until then.
//!
//! One SIGINT makes terraform save its state and end, and a second one makes it end without saving. So paydeploy notes an
//! interrupt here before it sends it. Where the child's time is over, or was for a moment, only the guard knows whether it
//! has sent one, and so paydeploy asks it to.
//!
//! The kernel's parent-death signal is not used: it is bound to the thread that started the child, and a process with
//! several threads that is killed sends it once per thread that the child was passed on to. In 30 kills of a process
//! with nine threads, four children received two or three.

mod children;
mod process;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io::Write as _,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

pub(super) use process::main;
use rustix::fs::{OFlags, fcntl_setfl};

/// The hidden subcommand.
pub(super) const WORD: &str = "__guard";

/// The guard; `None` before the first child, and after a guard that could not be reached.
static GUARD: Mutex<Option<Guard>> = Mutex::new(None);

struct Guard {
    process: Child,
    /// The children that this process was told of when they started.
    watched: BTreeSet<u32>,
}

/// Ends this child if paydeploy cannot.
pub(super) fn watch(pid: u32, start: u64) {
    send(&format!("+{pid} {start}\n"), |watched| {
        watched.insert(pid);
    });
}

/// Until when this child may run, as `since_boot`; `None` if there is no limit.
pub(super) fn limit(pid: u32, start: u64, until: Option<Duration>) {
    let until = until.map_or_else(|| "-".to_owned(), |until| until.as_millis().to_string());
    send(&format!("={pid} {start} {until}\n"), |_| {});
}

/// This child is about to be interrupted.
pub(super) fn interrupted(pid: u32, start: u64) {
    send(&format!("!{pid} {start}\n"), |_| {});
}

/// Interrupts this child, unless that was done because its time was over. False if there is no guard that knows.
pub(super) fn interrupt(pid: u32, start: u64) -> bool {
    let knows = {
        let mut guard = GUARD.lock().unwrap_or_else(PoisonError::into_inner);
        guard.as_mut().is_some_and(|guard| {
            guard.watched.contains(&pid) && guard.process.try_wait().is_ok_and(|ended| ended.is_none())
        })
    };
    knows && send(&format!("?{pid} {start}\n"), |_| {})
}

/// This child has ended.
pub(super) fn forget(pid: u32) {
    send(&format!("-{pid}\n"), |watched| {
        watched.remove(&pid);
    });
}

fn send(line: &str, note: impl Fn(&mut BTreeSet<u32>)) -> bool {
    // The executable of unit tests has no `__guard`.
    if cfg!(test) {
        return false;
    }
    let mut guard = GUARD.lock().unwrap_or_else(PoisonError::into_inner);
    // A guard that cannot be started is no reason to fail: without it, the next run on this machine waits for what outlives
    // this one. One that was killed is replaced. It learns the limits of the children that run, but not whether they were
    // interrupted, and so it only kills them.
    for _ in 0..2 {
        if guard.is_none() {
            *guard = start();
        }
        let Some(running) = &mut *guard else { return false };
        if running.process.stdin.as_mut().is_some_and(|pipe| pipe.write_all(line.as_bytes()).is_ok()) {
            note(&mut running.watched);
            return true;
        }
        // It may be stopped, with its pipe full. Killed first, because it would take the end of the pipe for our death.
        running.process.kill().ok();
        running.process.wait().ok();
        *guard = None;
    }
    false
}

fn start() -> Option<Guard> {
    let mut command = Command::new(OsStr::new("/proc/self/exe"));
    // In its own process group, because Ctrl-C in the terminal must not end it before the children have ended.
    command.arg(WORD).env_clear().current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let process = command.spawn().ok()?;
    // A guard that does not read must not make paydeploy wait. A line that fits is written whole or not, see pipe(7).
    fcntl_setfl(process.stdin.as_ref()?, OFlags::NONBLOCK).ok()?;
    Some(Guard { process, watched: BTreeSet::new() })
}
