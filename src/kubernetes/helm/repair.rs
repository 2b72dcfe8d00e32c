//! Repairs a release that a dead Helm of ours left pending, which Helm itself refuses to touch.
//!
//! Helm has no lock of its own: a pending status is the only sign of a second Helm. Whose it is, is never judged by its
//! age or by processes:
//!
//! 1. Before Helm starts, the step claims the revision that Helm will write, and Helm writes the claim's mark into the
//!    revision's labels. (`helm rollback` takes no labels: there the revision alone counts, and a status that only a
//!    rollback has.)
//! 2. A pending revision with the mark of an open claim is ours. By the time of the repair its Helm is dead: the engine
//!    passes claims of dead runs only, and waits for their children.
//! 3. A dead upgrade or rollback is rolled back to the last good revision. A dead first installation has none, so it is
//!    uninstalled; a dead uninstallation is finished.
//! 4. Any other pending release is somebody else's. It is waited for, and then reported with its age and the command
//!    that repairs it.

use std::time::Duration;

use kube::Client;

use super::{
    run::{Runner, rollback, uninstall},
    stored::{Stored, latest},
};
use crate::{
    fact,
    task::{Claim, Class, Error, Poll, Result, Task},
};

/// Between two checks whether somebody else's Helm has ended.
const POLL: Duration = Duration::from_secs(3);
/// A Helm that does not wait for readiness ends in less time.
const DEADLINE: Duration = Duration::from_mins(2);

/// What to do about a release that is pending.
#[derive(Debug, PartialEq, Eq)]
enum Repair {
    /// To the last successful revision.
    Rollback(u32),
    /// There is no successful revision to roll back to.
    Uninstall,
}

impl Repair {
    fn of(stored: &Stored) -> Self {
        match (stored.status.as_str(), stored.last_good) {
            ("uninstalling", _) | (_, None) => Self::Uninstall,
            (_, Some(revision)) => Self::Rollback(revision),
        }
    }
}

/// Whether one of the claims is for what is pending in the release.
fn is_ours(stored: &Stored, access: &fact::Access, wanted: (&str, &str), left: &[Claim]) -> bool {
    left.iter().any(|claim| match claim {
        Claim::Release { cluster, namespace, release, revision, mark } => {
            let same = (cluster, namespace.as_str(), release.as_str(), *revision)
                == (&access.cluster.cluster_name, wanted.0, wanted.1, stored.revision);
            same && match stored.status.as_str() {
                "pending-rollback" => mark.is_none(),
                "uninstalling" => false,
                _ => mark.is_some() && *mark == stored.mark,
            }
        }
        Claim::Uninstall { cluster, namespace, release } => {
            (cluster, namespace.as_str(), release.as_str())
                == (&access.cluster.cluster_name, wanted.0, wanted.1)
                && stored.status == "uninstalling"
        }
        _ => false,
    })
}

/// Repairs what a dead Helm of ours left of a release. `left` are the step's open claims.
pub async fn repair(
    task: &Task,
    runner: Runner<'_>,
    client: &Client,
    access: &fact::Access,
    (namespace, release): (&str, &str),
    left: &[Claim],
) -> Result<()> {
    let stored = latest(client, namespace, release).await?.filter(Stored::is_pending);
    let Some(stored) = stored.filter(|stored| is_ours(stored, access, (namespace, release), left)) else {
        return Ok(());
    };
    match Repair::of(&stored) {
        Repair::Rollback(good) => {
            task.progress(format!("rolling back to revision {good}: Helm was killed during an upgrade"));
            let next = stored.revision + 1;
            rollback(task, runner, access, (namespace, release), good, next).await
        }
        Repair::Uninstall => {
            task.progress("uninstalling: Helm was killed before the first revision was complete");
            uninstall(task, runner, access, namespace, release).await
        }
    }
}

/// Waits for somebody else's Helm, and returns the release as it left it.
///
/// # Errors
/// When it stays pending: what, since when, and the command that repairs it.
pub(super) async fn wait_for_others(
    task: &Task,
    client: &Client,
    access: &fact::Access,
    (namespace, release): (&str, &str),
) -> Result<Option<Stored>> {
    let pending = std::sync::Mutex::new(None);
    let check = || async {
        let stored = latest(client, namespace, release).await?;
        Ok(match stored {
            Some(stored) if stored.is_pending() => {
                let line = format!("{} by another Helm", stored.status);
                *pending.lock().expect("the lock is never held across a panic") = Some(stored);
                Poll::Pending(line)
            }
            stored => Poll::Ready(stored),
        })
    };
    let waited = task.wait(&format!("release `{release}`"), POLL, DEADLINE, check).await;
    let pending = pending.into_inner().expect("the lock is never held across a panic");
    match (waited, pending) {
        (Err(error), Some(stored)) if error.class == Class::Permanent => {
            Err(foreign(&stored, access, (namespace, release), jiff::Timestamp::now()))
        }
        (waited, _) => waited,
    }
}

fn foreign(
    stored: &Stored,
    access: &fact::Access,
    (namespace, release): (&str, &str),
    now: jiff::Timestamp,
) -> Error {
    let Stored { status, revision, .. } = stored;
    let since = stored.since.map_or_else(String::new, |since| {
        format!(" since {since} ({} min)", now.duration_since(since).as_mins().max(0))
    });
    let message = format!(
        "revision {revision} of release `{release}` is {status}{since}, by a Helm that no run of paydeploy recorded"
    );
    let fix = match Repair::of(stored) {
        Repair::Rollback(good) => format!("helm rollback {release} {good}"),
        Repair::Uninstall => format!("helm uninstall {release}"),
    };
    let (cluster, region) = (&access.cluster.cluster_name, &access.aws_region);
    Error::msg(Class::Conflict, message).with_hint(format!(
        "wait for that Helm if it still runs, else `aws eks update-kubeconfig --region {region} --name {cluster} && \
         {fix} --namespace {namespace}`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::testing;

    const RELEASE: (&str, &str) = ("argocd", "argocd");

    fn stored(status: &str, last_good: Option<u32>, mark: Option<&str>) -> Stored {
        let since = "2026-11-22T18:00:00Z".parse().unwrap();
        let mut stored = Stored::for_tests(status, last_good, since);
        stored.mark = mark.map(str::to_owned);
        stored
    }

    fn claim(cluster: &str, revision: u32, mark: Option<&str>) -> Claim {
        Claim::Release {
            cluster: cluster.to_owned(),
            namespace: "argocd".to_owned(),
            release: "argocd".to_owned(),
            revision,
            mark: mark.map(str::to_owned),
        }
    }

    #[test]
    fn a_dead_upgrade_is_rolled_back_and_a_dead_installation_uninstalled() {
        let repair = |status, good| Repair::of(&stored(status, good, None));
        assert_eq!(repair("pending-upgrade", Some(3)), Repair::Rollback(3));
        assert_eq!(repair("pending-rollback", Some(3)), Repair::Rollback(3));
        assert_eq!(repair("pending-install", None), Repair::Uninstall);
        assert_eq!(repair("uninstalling", Some(3)), Repair::Uninstall);
    }

    #[test]
    fn only_the_pending_revision_with_the_mark_of_a_claim_is_ours() {
        let access = testing::access("https://spain.example");
        let name = access.cluster.cluster_name.clone();
        let ours = |stored: &Stored, claim: Claim| is_ours(stored, &access, RELEASE, &[claim]);
        // `for_tests` is revision 4.
        let pending = stored("pending-upgrade", Some(3), Some("a"));
        assert!(ours(&pending, claim(&name, 4, Some("a"))));
        assert!(!ours(&pending, claim(&name, 4, Some("b"))), "another Helm took the revision");
        assert!(!ours(&pending, claim(&name, 5, Some("a"))), "our Helm never started");
        assert!(!ours(&pending, claim("another", 4, Some("a"))));
        assert!(!ours(&stored("pending-upgrade", Some(3), None), claim(&name, 4, None)));
        assert!(ours(&stored("pending-rollback", Some(3), None), claim(&name, 4, None)));
        let removal =
            Claim::Uninstall { cluster: name, namespace: "argocd".to_owned(), release: "argocd".to_owned() };
        assert!(ours(&stored("uninstalling", Some(3), None), removal.clone()));
        assert!(!ours(&pending, removal));
        assert!(!is_ours(&pending, &access, RELEASE, &[]), "an old one is not ours either");
    }

    #[test]
    fn a_foreign_release_is_reported_with_its_age_and_the_command_that_repairs_it() {
        let access = testing::access("https://spain.example");
        let error = foreign(
            &stored("pending-upgrade", Some(3), None),
            &access,
            RELEASE,
            "2026-11-22T18:07:00Z".parse().unwrap(),
        );
        let text = error.to_string();
        assert!(text.contains("is pending-upgrade since 2026-11-22T18:00:00Z (7 min)"), "{text}");
        let hint = error.hint.unwrap();
        assert!(hint.contains("helm rollback argocd 3 --namespace argocd"), "{hint}");
        assert_eq!(error.class, Class::Conflict);
    }
}
