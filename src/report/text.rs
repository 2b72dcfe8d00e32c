//! Text that several reports share.

use std::time::Duration;

use crate::task::{StepId, Verdict};

/// Printed at the first signal.
pub const INTERRUPTED: &str =
    "interrupted: waiting for running steps to reach a safe point; press Ctrl-C again to stop immediately";
/// Printed when a second signal of the same kind arrives.
pub const FORCED: &str = "interrupted again: stopping immediately";

/// Printed when the run has lost a lease.
pub fn lost(why: &str) -> String {
    format!("{why}: waiting for running steps to reach a safe point")
}

/// `48s`, `2m 41s`, `1h 02m`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// When the next attempt starts, and how long attempts continue.
pub fn retry(attempt: u32, delay: Duration, remaining: Duration) -> String {
    let (delay, remaining) = (duration(delay), duration(remaining));
    format!("attempt {attempt} in {delay}, giving up in {remaining}")
}

/// `1 step`, `38 steps`.
pub fn steps(count: usize) -> String {
    if count == 1 { "1 step".to_owned() } else { format!("{count} steps") }
}

/// The sign of a finished step. It is never the only information: the text beside it has the same meaning.
pub fn mark(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Changed { .. } | Verdict::Deleted { .. } | Verdict::Unchanged { .. } => "✓",
        Verdict::Differs { .. } | Verdict::Missing { .. } => "~",
        Verdict::Failed { .. } => "✗",
        Verdict::Skipped { .. } | Verdict::Cancelled => "-",
    }
}

/// A verdict in a few words.
pub fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Changed { summary } | Verdict::Deleted { summary } | Verdict::Unchanged { summary } => {
            summary.clone()
        }
        Verdict::Missing { summary } => format!("missing: {summary}"),
        Verdict::Differs { summary, .. } => format!("differs: {summary}"),
        Verdict::Failed { chain, attempts, .. } => {
            let tries = if *attempts > 1 { format!(" after {attempts} attempts") } else { String::new() };
            format!("failed{tries}: {}", chain.first().map(String::as_str).unwrap_or_default())
        }
        Verdict::Skipped { because } => format!("skipped: {because} did not succeed"),
        Verdict::Cancelled => "cancelled".to_owned(),
    }
}

/// A step in columns: phase, region, part.
pub fn columns(step: &StepId) -> String {
    let region = step.region.as_ref().map_or("-", crate::task::RegionName::as_str);
    let part = step.part.as_deref().unwrap_or("");
    format!("{:<11} {region:<8} {part:<28}", step.phase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_at_most_two_units() {
        let texts = [0, 48, 161, 3720].map(|seconds| duration(Duration::from_secs(seconds)));
        assert_eq!(texts, ["0s", "48s", "2m 41s", "1h 02m"]);
    }
}
