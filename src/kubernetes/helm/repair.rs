//! A release that Helm was at when it was killed.

use std::time::Duration;

use kube::Client;

use super::{
    run::{Place, rollback, uninstall},
    stored::{Stored, latest},
    wanted::Wanted,
};
use crate::{
    fact,
    task::{Poll, Result, Task},
};

/// Helm that is given no hooks to wait for is done in less; one on another machine holds the lease.
const DEAD_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);
const LOOK: Duration = Duration::from_secs(3);
const DEADLINE: Duration = Duration::from_mins(8);

/// What to do about a release that is pending.
#[derive(Debug, PartialEq, Eq)]
enum Remedy {
    Nothing,
    Wait(String),
    /// To the revision that was good before.
    Rollback(u32),
    /// There was none.
    Uninstall,
}

fn remedy(stored: Option<&Stored>, now: jiff::Timestamp, helm_lives: bool) -> Remedy {
    let Some(stored) = stored.filter(|stored| stored.is_pending()) else { return Remedy::Nothing };
    if helm_lives {
        return Remedy::Wait(format!("helm is at it: {}", stored.status));
    }
    let age = stored.since.map_or(DEAD_AFTER, |since| now.duration_since(since));
    if age < DEAD_AFTER {
        let left = (DEAD_AFTER - age).as_secs();
        return Remedy::Wait(format!(
            "{} for less than a minute; it may be alive for {left} s more",
            stored.status
        ));
    }
    match (stored.status.as_str(), stored.last_good) {
        ("uninstalling", _) | (_, None) => Remedy::Uninstall,
        (_, Some(revision)) => Remedy::Rollback(revision),
    }
}

/// Waits for the Helm that is at a release, and cleans up after one that is dead.
///
/// Dead means: no Helm process of this machine names the release, and what it did began over a minute ago.
pub async fn repair(
    task: &Task,
    place: Place<'_>,
    client: &Client,
    access: &fact::Access,
    wanted: &Wanted,
) -> Result<()> {
    let Wanted { release, namespace, .. } = wanted;
    let look = || async {
        let stored = latest(client, namespace, release).await?;
        let lives = helm_lives(release, &access.cluster.cluster_name);
        Ok(match remedy(stored.as_ref(), jiff::Timestamp::now(), lives) {
            Remedy::Wait(why) => Poll::Pending(why),
            remedy => Poll::Ready(remedy),
        })
    };
    match task.wait(&format!("release `{release}`, left pending"), LOOK, DEADLINE, look).await? {
        Remedy::Rollback(revision) => {
            task.progress(format!("helm was killed during an upgrade: back to revision {revision}"));
            rollback(task, place, access, wanted, revision).await
        }
        Remedy::Uninstall => {
            task.progress("helm was killed during the first installation: removes what it made");
            uninstall(task, place, access, namespace, release).await
        }
        Remedy::Nothing | Remedy::Wait(_) => Ok(()),
    }
}

/// Whether a Helm of this machine works on the release in that cluster.
fn helm_lives(release: &str, context: &str) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    processes.flatten().any(|process| {
        let Ok(line) = std::fs::read(process.path().join("cmdline")) else { return false };
        is_helm_at(&line, release, context)
    })
}

fn is_helm_at(command_line: &[u8], release: &str, context: &str) -> bool {
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
    fn a_dead_upgrade_is_rolled_back_and_a_dead_installation_removed() {
        let remedy = |status, good| remedy(Some(&stored(status, good)), after(61), false);
        assert_eq!(remedy("pending-upgrade", Some(3)), Remedy::Rollback(3));
        assert_eq!(remedy("pending-rollback", Some(3)), Remedy::Rollback(3));
        assert_eq!(remedy("pending-install", None), Remedy::Uninstall);
        assert_eq!(remedy("uninstalling", Some(3)), Remedy::Uninstall);
    }

    #[test]
    fn what_may_be_alive_is_waited_for() {
        let pending = stored("pending-upgrade", Some(1));
        assert!(matches!(remedy(Some(&pending), after(59), false), Remedy::Wait(_)));
        assert!(matches!(remedy(Some(&pending), after(3600), true), Remedy::Wait(_)));
    }

    #[test]
    fn what_is_not_pending_needs_no_repair() {
        for status in ["deployed", "failed"] {
            assert_eq!(remedy(Some(&stored(status, None)), after(3600), false), Remedy::Nothing);
        }
        assert_eq!(remedy(None, after(0), false), Remedy::Nothing);
    }

    #[test]
    fn a_helm_process_is_known_by_its_release_and_cluster() {
        let line = b"/opt/bin/helm\0upgrade\0--install\0argocd\0--kube-context\0payments-spain\0";
        assert!(is_helm_at(line, "argocd", "payments-spain"));
        assert!(!is_helm_at(line, "argocd", "payments-mexico"));
        assert!(!is_helm_at(line, "argo", "payments-spain"));
        assert!(!is_helm_at(b"vi\0argocd\0payments-spain\0", "argocd", "payments-spain"));
        assert!(!is_helm_at(b"", "argocd", "payments-spain"));
    }
}
