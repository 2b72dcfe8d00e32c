//! Child processes: terraform, helm and git.

/// The programs that steps run, found and checked once.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    pub terraform: std::path::PathBuf,
    pub helm: std::path::PathBuf,
    pub git: std::path::PathBuf,
}

/// How many terraform processes fit into the memory that is free now, at about 600 MB each.
pub fn terraform_slots() -> usize {
    const NEEDED_KB: u64 = 600 * 1024;
    let free = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    free.map_or(4, |free| usize::try_from(free / NEEDED_KB).unwrap_or(4)).clamp(1, 16)
}
