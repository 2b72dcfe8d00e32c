//! Child processes: Terraform, Helm and Git.

mod child;
mod command;
mod environment;
mod exit;
mod find;
mod follow;
mod guard;
mod process;
mod release;
mod run;

use std::{ffi::OsString, process::ExitCode};

pub use command::{Command, quoted};
pub use exit::ChildExit;
pub use find::{Tools, Unfit, Version};
pub use follow::{Follower, follow};
pub use process::start_time;

/// Runs one of the hidden subcommands by which paydeploy starts and guards its children; `None` for any other.
pub fn helper(args: &[OsString]) -> Option<ExitCode> {
    match args.get(1)?.to_str()? {
        release::WORD => Some(release::main(args.get(2..).unwrap_or_default())),
        guard::WORD => Some(guard::main()),
        _ => None,
    }
}

/// How many Terraform processes fit into the memory that is available now: at least 1, so that a small
/// machine makes progress, and at most 16. 4 if the kernel does not report its memory.
pub fn terraform_slots() -> usize {
    /// Terraform with its AWS provider takes about 600 MB for the largest of our stacks.
    const NEEDED_KB: u64 = 600 * 1024;
    let free = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    free.map_or(4, |free| usize::try_from(free / NEEDED_KB).unwrap_or(4)).clamp(1, 16)
}
