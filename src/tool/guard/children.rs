//! What the guard knows of each child, and which signals that demands. No signal is sent here.

use std::{collections::BTreeMap, time::Duration};

use crate::task::KILLED_AFTER;

/// A child: its id, and its start time, which distinguishes it from a later process with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id {
    pub pid: u32,
    pub start: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// SIGINT to the process alone: Terraform stops its own plugins in the right order.
    Interrupt(Id),
    /// SIGKILL to its process group.
    Kill(Id),
}

#[derive(Debug, Default)]
pub(super) struct Children(BTreeMap<u32, Known>);

#[derive(Debug)]
struct Known {
    start: u64,
    /// When its lease expires.
    until: Option<Duration>,
    interrupted: bool,
    killed: bool,
}

impl Children {
    /// Works in a line from paydeploy. One that makes no sense is passed over.
    pub fn note(&mut self, line: &str) -> Option<Act> {
        let (kind, rest) = line.split_at_checked(1)?;
        let (pid, value) = rest.split_once(' ').unwrap_or((rest, ""));
        let pid = pid.parse().ok()?;
        if kind == "-" {
            self.0.remove(&pid);
            return None;
        }
        let (start, value) = value.split_once(' ').unwrap_or((value, ""));
        let start = start.parse().ok()?;
        match kind {
            "+" => drop(self.0.insert(pid, Known { start, until: None, interrupted: false, killed: false })),
            "=" if value == "-" => self.known(pid, start).until = None,
            "=" => self.known(pid, start).until = Some(Duration::from_millis(value.parse().ok()?)),
            "!" => self.known(pid, start).interrupted = true,
            "?" => {
                let was_interrupted = std::mem::replace(&mut self.known(pid, start).interrupted, true);
                return (!was_interrupted).then_some(Act::Interrupt(Id { pid, start }));
            }
            _ => {}
        }
        None
    }

    /// A child of an earlier guard, which may have interrupted it, counts as interrupted.
    fn known(&mut self, pid: u32, start: u64) -> &mut Known {
        let unknown = || Known { start, until: None, interrupted: true, killed: false };
        let known = self.0.entry(pid).or_insert_with(unknown);
        if known.start != start {
            *known = unknown();
        }
        known
    }

    /// What is due at a moment: an interrupt once a lease has expired, and a kill before another run may act.
    pub fn due(&mut self, now: Duration) -> Vec<Act> {
        let mut acts = Vec::new();
        for (&pid, known) in &mut self.0 {
            let Some(until) = known.until.filter(|until| now >= *until) else { continue };
            let id = Id { pid, start: known.start };
            if !known.interrupted {
                known.interrupted = true;
                acts.push(Act::Interrupt(id));
            }
            if !known.killed && now >= until + KILLED_AFTER {
                known.killed = true;
                acts.push(Act::Kill(id));
            }
        }
        acts
    }

    /// paydeploy has died. What has no limit is never killed, and needs no guard any more.
    pub fn orphaned(&mut self) -> Vec<Act> {
        let uninterrupted = self.0.iter().filter(|(_, known)| !known.interrupted);
        let acts =
            uninterrupted.map(|(&pid, known)| Act::Interrupt(Id { pid, start: known.start })).collect();
        self.0.retain(|_, known| known.until.is_some());
        for known in self.0.values_mut() {
            known.interrupted = true;
        }
        acts
    }

    /// Forgets what has ended. Returns whether anything remains to be killed.
    pub fn remain(&mut self, runs: impl Fn(Id) -> bool) -> bool {
        self.0.retain(|&pid, known| !known.killed && runs(Id { pid, start: known.start }));
        !self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTIL: Duration = Duration::from_secs(60);

    fn id(pid: u32) -> Id {
        Id { pid, start: u64::from(pid) * 10 }
    }

    fn told(lines: &[&str]) -> Children {
        let mut children = Children::default();
        for line in lines {
            assert_eq!(children.note(line), None, "{line}");
        }
        children
    }

    #[test]
    fn when_paydeploy_has_died_each_child_that_was_not_interrupted_is() {
        let noise = ["noise", "", "+9", "=8", "=8 80 soon", "!"];
        let mut children = told(&["+7 70", "+8 80", "+9 90", "-7", "!9 90"]);
        for line in noise {
            assert_eq!(children.note(line), None, "{line}");
        }
        assert_eq!(children.orphaned(), [Act::Interrupt(id(8))]);
        assert!(!children.remain(|_| true), "none of them has a limit");
    }

    #[test]
    fn a_child_is_interrupted_once_whoever_is_first() {
        let limits = ["=7 70 60000", "=8 80 60000", "=9 90 60000"];
        let mut children = told(&["+7 70", "+8 80", "+9 90", limits[0], limits[1], limits[2], "!7 70"]);
        assert_eq!(children.note("?7 70"), None, "paydeploy has done it");
        assert_eq!(children.note("?8 80"), Some(Act::Interrupt(id(8))));
        assert_eq!(children.note("?8 80"), None);
        assert_eq!(children.due(UNTIL), [Act::Interrupt(id(9))]);
        assert_eq!(children.note("?9 90"), None);
        assert_eq!(children.due(UNTIL), []);
        assert_eq!(children.orphaned(), []);
    }

    #[test]
    fn a_child_of_an_earlier_guard_is_killed_in_time_and_not_interrupted_again() {
        let mut children = told(&["=9 90 60000", "+8 1", "=8 80 60000"]);
        assert_eq!(children.due(UNTIL), []);
        assert_eq!(children.due(UNTIL + KILLED_AFTER), [Act::Kill(id(8)), Act::Kill(id(9))]);
    }

    #[test]
    fn a_child_whose_lease_is_renewed_is_left_alone_and_one_without_a_lease_too() {
        let limits = ["=8 80 60000", "=9 90 60000", "=8 80 70000", "=9 90 -"];
        let mut children = told(&["+7 70", "+8 80", "+9 90", limits[0], limits[1], limits[2], limits[3]]);
        assert_eq!(children.due(UNTIL), []);
        assert_eq!(children.due(Duration::from_secs(70)), [Act::Interrupt(id(8))]);
    }

    #[test]
    fn what_ignores_its_interrupt_is_killed_before_another_run_may_act_also_after_paydeploys_death() {
        let mut children = told(&["+8 80", "=8 80 60000"]);
        assert_eq!(children.orphaned(), [Act::Interrupt(id(8))]);
        assert!(children.remain(|_| true));
        let at_last = UNTIL + KILLED_AFTER;
        assert_eq!(children.due(at_last.saturating_sub(Duration::from_millis(1))), []);
        assert_eq!(children.due(at_last), [Act::Kill(id(8))]);
        assert!(!children.remain(|_| true));
    }

    #[test]
    fn a_machine_that_slept_for_long_interrupts_and_kills_together() {
        let mut children = told(&["+8 80", "=8 80 60000"]);
        let acts = [Act::Interrupt(id(8)), Act::Kill(id(8))];
        assert_eq!(children.due(UNTIL * 100), acts);
    }

    #[test]
    fn a_guard_without_paydeploy_ends_with_the_last_child() {
        let mut children = told(&["+8 80", "=8 80 60000"]);
        children.orphaned();
        assert!(!children.remain(|_| false));
    }
}
