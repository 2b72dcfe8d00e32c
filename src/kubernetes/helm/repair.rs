//! Repairs a release that a killed Helm left pending, which Helm itself refuses to touch.
//!
//! 1. A release that is not pending needs nothing.
//! 2. While a Helm may still be working on it, wait. That is so when a process on this machine names the
//!    release and the cluster, or when the operation started less than [`DEAD_AFTER`] ago: Helm may run on
//!    another machine, whose processes cannot be seen.
//! 3. A dead upgrade or rollback is rolled back to the last good revision. A dead first installation has
//!    none, so it is uninstalled; a dead uninstallation is finished.
//!
//! Helm has no lock of its own: its pending status is the only sign of a second Helm. paydeploy never runs
//! two on one release, because the run's lock is exclusive on a machine and the plan has one step per
//! release.

use std::time::Duration;

use kube::Client;

use super::{
    run::{Runner, rollback, uninstall},
    stored::{Stored, latest},
    wanted::Wanted,
};
use crate::{
    fact,
    task::{Poll, Result, Task},
};

/// A Helm that does not wait for readiness ends in less time: it renders the chart and sends the objects. A
/// release whose hooks run longer on another machine would be taken for dead.
const DEAD_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);
/// Between two checks whether Helm still runs.
const POLL: Duration = Duration::from_secs(3);
/// Longer than a Helm can run: its child deadline is 6 minutes, and [`DEAD_AFTER`] follows.
const DEADLINE: Duration = Duration::from_mins(8);

/// What to do about a release that is pending.
#[derive(Debug, PartialEq, Eq)]
enum Repair {
    Nothing,
    Wait(String),
    /// To the last successful revision.
    Rollback(u32),
    /// There is no successful revision to roll back to.
    Uninstall,
}

fn decide(stored: Option<&Stored>, now: jiff::Timestamp, helm_runs: bool) -> Repair {
    let Some(stored) = stored.filter(|stored| stored.is_pending()) else { return Repair::Nothing };
    if helm_runs {
        return Repair::Wait(format!("Helm is still running: {}", stored.status));
    }
    // Without a readable time the release counts as old: waiting for it would never end.
    let age = stored.since.map_or(DEAD_AFTER, |since| now.duration_since(since));
    if age < DEAD_AFTER {
        let remaining = (DEAD_AFTER - age).as_secs();
        return Repair::Wait(format!("{}, and Helm may still be running for {remaining} s", stored.status));
    }
    match (stored.status.as_str(), stored.last_good) {
        ("uninstalling", _) | (_, None) => Repair::Uninstall,
        (_, Some(revision)) => Repair::Rollback(revision),
    }
}

/// Waits for a Helm that is still working on a release, and repairs what a dead one left.
pub async fn repair(
    task: &Task,
    runner: Runner<'_>,
    client: &Client,
    access: &fact::Access,
    wanted: &Wanted,
) -> Result<()> {
    let Wanted { release, namespace, .. } = wanted;
    let check = || async {
        let stored = latest(client, namespace, release).await?;
        let runs = helm_runs(release, &access.cluster.cluster_name);
        Ok(match decide(stored.as_ref(), jiff::Timestamp::now(), runs) {
            Repair::Wait(why) => Poll::Pending(why),
            repair => Poll::Ready(repair),
        })
    };
    match task.wait(&format!("pending release `{release}`"), POLL, DEADLINE, check).await? {
        Repair::Rollback(revision) => {
            task.progress(format!("rolling back to revision {revision}: Helm was killed during an upgrade"));
            rollback(task, runner, access, wanted, revision).await
        }
        Repair::Uninstall => {
            task.progress("uninstalling: Helm was killed before the first revision was complete");
            uninstall(task, runner, access, namespace, release).await
        }
        Repair::Nothing | Repair::Wait(_) => Ok(()),
    }
}

/// Whether a Helm on this machine works on the release in that cluster.
fn helm_runs(release: &str, context: &str) -> bool {
    // Without /proc only the time decides. A process that ends while its command line is read is skipped.
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    processes.flatten().any(|process| {
        let Ok(line) = std::fs::read(process.path().join("cmdline")) else { return false };
        is_helm_for(&line, release, context)
    })
}

fn is_helm_for(command_line: &[u8], release: &str, context: &str) -> bool {
    let mut words = command_line.split(|byte| *byte == 0);
    let program = words.next().unwrap_or_default();
    let has = |word: &str| words.clone().any(|found| found == word.as_bytes());
    program.ends_with(b"helm") && has(release) && has(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(status: &str, last_good: Option<u32>) -> Stored {
        Stored::for_tests(status, last_good, "2026-11-22T18:00:00Z".parse().unwrap())
    }

    fn after(seconds: i64) -> jiff::Timestamp {
        "2026-11-22T18:00:00Z".parse::<jiff::Timestamp>().unwrap() + jiff::SignedDuration::from_secs(seconds)
    }

    #[test]
    fn a_dead_upgrade_is_rolled_back_and_a_dead_installation_uninstalled() {
        let decide = |status, good| decide(Some(&stored(status, good)), after(61), false);
        assert_eq!(decide("pending-upgrade", Some(3)), Repair::Rollback(3));
        assert_eq!(decide("pending-rollback", Some(3)), Repair::Rollback(3));
        assert_eq!(decide("pending-install", None), Repair::Uninstall);
        assert_eq!(decide("uninstalling", Some(3)), Repair::Uninstall);
    }

    #[test]
    fn a_helm_that_may_still_run_is_waited_for() {
        let pending = stored("pending-upgrade", Some(1));
        assert!(matches!(decide(Some(&pending), after(59), false), Repair::Wait(_)));
        assert!(matches!(decide(Some(&pending), after(3600), true), Repair::Wait(_)));
    }

    #[test]
    fn a_release_that_is_not_pending_needs_no_repair() {
        for status in ["deployed", "failed"] {
            assert_eq!(decide(Some(&stored(status, None)), after(3600), false), Repair::Nothing);
        }
        assert_eq!(decide(None, after(0), false), Repair::Nothing);
    }

    #[test]
    fn a_helm_process_is_recognised_by_its_release_and_cluster() {
        let line = b"/opt/bin/helm\0upgrade\0--install\0argocd\0--kube-context\0payments-spain\0";
        assert!(is_helm_for(line, "argocd", "payments-spain"));
        assert!(!is_helm_for(line, "argocd", "payments-mexico"));
        assert!(!is_helm_for(line, "argo", "payments-spain"));
        assert!(!is_helm_for(b"vi\0argocd\0payments-spain\0", "argocd", "payments-spain"));
        assert!(!is_helm_for(b"", "argocd", "payments-spain"));
    }
}
