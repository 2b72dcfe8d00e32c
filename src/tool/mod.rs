//! Child processes: terraform, helm and git.

mod child;
mod command;
mod environment;
mod find;
mod follow;

pub use child::{Exit, start_time};
pub use command::Command;
pub use find::{Tools, Unfit, Version};
pub use follow::{Follower, follow};

/// How many terraform processes fit into the memory that is free now, at about 600 MB each.
pub fn terraform_slots() -> usize {
    const NEEDED_KB: u64 = 600 * 1024;
    let free = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    free.map_or(4, |free| usize::try_from(free / NEEDED_KB).unwrap_or(4)).clamp(1, 16)
}
