//! Which machine a process id belongs to.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::tool::start_time;

/// Where a run runs. Process ids mean something only on the same boot and in the same process namespace: two containers
/// of one machine share its boot id, and often its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub host: String,
    pub boot: String,
    /// The process namespace, as `/proc/self/ns/pid` names it. Empty in journals of earlier versions.
    #[serde(default)]
    pub processes: String,
}

/// A process, as far as this one can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Alive,
    Dead,
    /// It runs, or ran, where this process cannot see it.
    Unknown,
}

impl Machine {
    /// This process's own.
    pub fn here() -> Self {
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        Self {
            host: read_trimmed("/proc/sys/kernel/hostname"),
            boot: read_trimmed("/proc/sys/kernel/random/boot_id"),
            processes: namespace.display().to_string(),
        }
    }

    /// Whether process ids of that machine can be looked up here.
    pub fn is_visible_from(&self, here: &Self) -> bool {
        let namespace = self.processes.is_empty() || self.processes == here.processes;
        !self.boot.is_empty() && self.boot == here.boot && namespace
    }

    /// Whether a process of that machine still runs.
    pub fn life(&self, here: &Self, pid: u32, start: u64) -> Life {
        match (self.is_visible_from(here), start_time(pid) == Some(start)) {
            (true, true) => Life::Alive,
            (true, false) => Life::Dead,
            (false, _) => Life::Unknown,
        }
    }
}

fn read_trimmed(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_alive_only_with_its_start_time_and_unknown_elsewhere() {
        let (here, pid) = (Machine::here(), std::process::id());
        let start = start_time(pid).unwrap();
        assert_eq!(here.life(&here, pid, start), Life::Alive);
        assert_eq!(here.life(&here, pid, start + 1), Life::Dead);
        let rebooted = Machine { boot: "another".to_owned(), ..here.clone() };
        let container = Machine { processes: "pid:[1]".to_owned(), ..here.clone() };
        for elsewhere in [rebooted, container] {
            assert_eq!(elsewhere.life(&here, pid, start), Life::Unknown);
        }
    }

    #[test]
    fn a_machine_of_an_earlier_version_is_known_by_its_boot() {
        let here = Machine::here();
        let earlier: Machine =
            serde_json::from_value(serde_json::json!({ "host": here.host, "boot": here.boot })).unwrap();
        assert!(earlier.is_visible_from(&here));
    }
}
