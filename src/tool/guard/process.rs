//! `paydeploy __guard`: the process that signals the children.
//!
//! Everything that paydeploy has written is read before the time is looked at: a guard that did not run for a while must
//! not act on limits that were moved on meanwhile.

use std::{
    io::{self, ErrorKind, Read as _},
    process::ExitCode,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_setfl},
    process::{Pid, Signal, kill_process, kill_process_group},
};

use super::children::{Act, Children, Id};
use crate::{task::since_boot, tool::process::start_time};

/// How often the time is looked at: a timer does not count the time in which the machine sleeps.
const TICK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Reads what paydeploy writes until it dies, and then stays until nothing is left that may have to be killed.
pub(in crate::tool) fn main() -> ExitCode {
    let (mut input, mut children, mut unread) = (io::stdin(), Children::default(), Vec::new());
    if fcntl_setfl(&input, OFlags::NONBLOCK).is_err() {
        return ExitCode::FAILURE;
    }
    loop {
        // An error, as after a signal, is no reason not to read.
        poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&TICK)).ok();
        let lives = read(&mut input, &mut unread);
        for line in lines(&mut unread) {
            children.note(&line).into_iter().for_each(act);
        }
        if !lives {
            break;
        }
        children.due(since_boot()).into_iter().for_each(act);
    }
    children.orphaned().into_iter().for_each(act);
    while children.remain(runs) {
        std::thread::sleep(Duration::from_secs(1));
        children.due(since_boot()).into_iter().for_each(act);
    }
    ExitCode::SUCCESS
}

/// Reads all that can be read now. False if paydeploy has died.
fn read(input: &mut io::Stdin, unread: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return false,
            Ok(read) => unread.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// Takes the whole lines.
fn lines(unread: &mut Vec<u8>) -> Vec<String> {
    let end = unread.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let whole: Vec<u8> = unread.drain(..end).collect();
    String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect()
}

fn runs(id: Id) -> bool {
    start_time(id.pid) == Some(id.start)
}

/// The errors are swallowed because the child may end between the look and the signal.
fn act(act: Act) {
    let (Act::Interrupt(id) | Act::Kill(id)) = act;
    let Some(pid) = Pid::from_raw(id.pid.cast_signed()).filter(|_| runs(id)) else { return };
    match act {
        Act::Interrupt(_) => kill_process(pid, Signal::INT).ok(),
        Act::Kill(_) => kill_process_group(pid, Signal::KILL).ok(),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_cut_off_waits_for_its_rest() {
        let mut unread = b"+7 70\n=7 70 60".to_vec();
        assert_eq!(lines(&mut unread), ["+7 70"]);
        unread.extend_from_slice(b"000\n");
        assert_eq!(lines(&mut unread), ["=7 70 60000"]);
        assert!(unread.is_empty());
    }
}
