//! Identity of a process beyond its id, which the kernel reuses.
//!
//! The crate `procfs` could read it as well. It would add a second version of `rustix` for one field of one line.

/// When a process started, in clock ticks since boot: field 22 of `/proc/PID/stat`, see proc_pid_stat(5).
/// `None` when there is no such process, or when it has ended and its parent has not noticed: in a container, the first
/// process may never do so. Together with the id and the boot it names one process.
pub fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may itself contain spaces and parentheses.
    // Field 22 of the line is therefore counted from behind the last parenthesis, where field 3 starts.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    (!matches!(state, "Z" | "X")).then(|| fields.nth(18)?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::start_time;

    #[test]
    fn a_running_process_has_a_start_time_and_a_missing_one_has_none() {
        assert!(start_time(std::process::id()).unwrap() > 0);
        // The kernel's largest process id is 2^22.
        assert_eq!(start_time(1 << 23), None);
    }

    #[test]
    fn a_process_that_has_ended_has_none_although_its_parent_has_not_noticed() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        assert!(start_time(child.id()).is_some());
        drop(child.stdin.take());
        // Without a `wait` it stays a zombie.
        while start_time(child.id()).is_some() {
            std::thread::yield_now();
        }
        assert!(std::path::Path::new(&format!("/proc/{}", child.id())).exists());
        child.wait().unwrap();
    }
}
