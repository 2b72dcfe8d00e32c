//! Waits from a release's annotations to an application that users reach.
//!
//! 1. `healthy`: Argo CD has synced this release, and reports it healthy. If a sync of this release had failed
//!    before, it is retried first. A degraded or broken Application is waited for only as long as such a state
//!    is known to pass by itself.
//! 2. `pods_ready`: only pods of this release's image remain, and each passes its own readiness probe.
//! 3. `is_reached`: the load balancer is active, its targets are healthy, and the host's record points at it.
//!
//! Argo CD runs the sync by itself, so each wait only reads; the exceptions are the retry and the end of an
//! earlier release's sync. When a wait fails permanently, the error says why the pods are not ready.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};
use serde_json::Value;

use super::{
    annotations::Annotations,
    application::{Application, generation_error},
    endpoint::Endpoint,
    sync_state::{self, Managed, SyncState, Wanted},
    workload,
};
use crate::{
    kubernetes,
    step::{Class, Context, Error, ErrorExt, Poll, Result},
};

/// Between two reads: one request each, and short enough that no state of a rollout is missed in the progress.
const INTERVAL: Duration = Duration::from_secs(2);
/// Longer than the migration's deadline, the rollout's and Argo CD's retries of a sync together, so that their
/// own errors, which say more than a timeout, are reported first.
const HEALTHY_DEADLINE: Duration = Duration::from_mins(20);
/// An ExternalSecret before its first refresh, and a rollout's first pods, are reported as degraded for some
/// seconds.
const DEGRADED_TOLERANCE: Duration = Duration::from_mins(1);
/// While Argo CD's repository server starts, or until all its components know a new cluster, comparing fails.
const BROKEN_TOLERANCE: Duration = Duration::from_mins(3);
/// Old pods terminate within their grace period after the rollout, and an autoscaler reaches its minimum.
const PODS_DEADLINE: Duration = Duration::from_mins(3);
/// A load balancer takes minutes to become active, its targets two health checks to become healthy, and
/// external-dns synchronises once a minute.
const REACHED_DEADLINE: Duration = Duration::from_mins(10);

/// A release that is being rolled out.
pub(super) struct Sync<'a> {
    pub cx: &'a Context,
    pub hub: &'a Client,
    /// The region's cluster.
    pub cluster: &'a Client,
    pub endpoint: Endpoint<'a>,
    pub application: &'a Application,
    pub release: &'a Annotations,
}

/// What one read leaves for the next. Behind a mutex only because the wait's closure is called repeatedly; it is
/// never contended and never held across an await.
#[derive(Default)]
struct Memory {
    /// Since when it has been degraded or broken without a break; any better state resets it.
    /// The tolerance tells the two apart.
    unwell_since: Option<(Duration, Instant)>,
    /// The start time of a sync that had failed before this run. Its status remains visible until Argo CD
    /// starts the retry, and must not be taken for a new failure.
    failed_before: Option<String>,
    /// The Application as last read: explains a failure even if it cannot be read again.
    last: Option<Value>,
}

impl Sync<'_> {
    pub async fn run(&self) -> Result<()> {
        self.healthy().await?;
        self.pods_ready().await?;
        self.is_reached().await
    }

    fn wanted(&self) -> Wanted<'_> {
        let text = |key: &str| self.release.get(key).map_or("", String::as_str);
        Wanted { commit: text("commit"), digest: text("digest") }
    }

    /// Synced and Healthy at this release.
    async fn healthy(&self) -> Result<()> {
        let memory =
            Mutex::new(Memory { failed_before: self.retry_failed_sync().await?, ..Memory::default() });
        let what = format!("Application `{}`", self.application.name);
        let waited = self.cx.wait(&what, INTERVAL, HEALTHY_DEADLINE, || self.poll(&memory)).await;
        let memory = memory.into_inner().expect("no panic while it is locked");
        match waited {
            Err(error) if error.class == Class::Permanent => Err(self.explained(error, memory.last).await),
            other => other,
        }
    }

    /// Retries a failed sync of this very release: Argo CD never does so by itself. Returns the start time
    /// of the failed sync.
    async fn retry_failed_sync(&self) -> Result<Option<String>> {
        let Some(application) = self.application.read().await? else { return Ok(None) };
        let SyncState::Failed { started, .. } = sync_state::judge(&application, self.wanted()) else {
            return Ok(None);
        };
        self.cx.progress("retrying the failed sync");
        self.application.sync_again(self.release).await?;
        Ok(Some(started))
    }

    async fn poll(&self, memory: &Mutex<Memory>) -> Result<Poll<()>> {
        let Some(application) = self.application.read().await? else {
            let why = generation_error(self.hub).await?;
            return Ok(Poll::Pending(
                why.unwrap_or_else(|| "the ApplicationSet has not created it yet".to_owned()),
            ));
        };
        let verdict = sync_state::judge(&application, self.wanted());
        if verdict == SyncState::Occupied {
            // Argo CD runs one sync at a time, and would retry the other release's for minutes. It is between two
            // attempts, so nothing is cut off half done.
            self.application.end_sync().await?;
        }
        // Read before the lock is taken, as it awaits.
        let mut troubles = Vec::new();
        if matches!(verdict, SyncState::Settling(_) | SyncState::Degraded(_)) {
            troubles = self.troubles(&application).await;
        }
        let described =
            |why: String| if troubles.is_empty() { why } else { format!("{why}: {}", troubles.join(", ")) };
        let mut memory = memory.lock().expect("no panic while it is locked");
        memory.last = Some(application);
        let patience = match verdict {
            SyncState::Degraded(_) => Some(DEGRADED_TOLERANCE),
            SyncState::Broken(_) => Some(BROKEN_TOLERANCE),
            _ => None,
        };
        // Each kind has its own clock: minutes of a tolerated Broken must not count against the first Degraded.
        let since = memory.unwell_since.take().filter(|(kind, _)| Some(*kind) == patience);
        let since = since.map_or_else(Instant::now, |(_, since)| since);
        memory.unwell_since = patience.map(|kind| (kind, since));
        match verdict {
            SyncState::Healthy => Ok(Poll::Ready(())),
            SyncState::Occupied => {
                Ok(Poll::Pending("ending the retries of an earlier release's sync".to_owned()))
            }
            SyncState::Progressing(why) | SyncState::Settling(why) => Ok(Poll::Pending(described(why))),
            SyncState::Degraded(why) | SyncState::Broken(why)
                if patience.is_some_and(|patience| since.elapsed() < patience) =>
            {
                Ok(Poll::Pending(described(why)))
            }
            SyncState::Degraded(why) => Err(self.error(&format!("is {}", described(why)))),
            SyncState::Broken(why) => Err(self.error(&format!("cannot be compared with its commit: {why}"))),
            SyncState::Failed { started, .. } if memory.failed_before.as_ref() == Some(&started) => {
                Ok(Poll::Pending("retrying the failed sync".to_owned()))
            }
            SyncState::Failed { why, .. } => Err(self.error(&format!("failed to sync: {why}"))),
        }
    }

    /// The problems of the region's own objects, which Argo CD 3 no longer stores in the Application.
    async fn troubles(&self, application: &Value) -> Vec<String> {
        let (count, secrets) = futures::join!(
            workload::count(self.cluster, application, self.wanted().digest),
            workload::secrets(self.cluster, application),
        );
        // Errors are dropped: this only adds detail to a state that is reported anyway.
        [count.map(|count| count.missing).unwrap_or_default(), secrets.unwrap_or_default()].concat()
    }

    fn error(&self, what: &str) -> Error {
        let name = &self.application.name;
        Error::permanent(format!("Application `{name}` {what}"))
            .with_hint("fix the cause above, then run the same command again: it retries the sync")
    }

    /// The error, with the state of the pods behind it.
    async fn explained(&self, error: Error, application: Option<Value>) -> Error {
        let Some(application) = application else { return error };
        let mut lines = Vec::new();
        for Managed { name, namespace, .. } in sync_state::failed_jobs(&application) {
            let selector = format!("batch.kubernetes.io/job-name={name}");
            lines.extend(kubernetes::pods(self.cluster, &namespace, &selector).await);
        }
        for Managed { name, namespace, .. } in sync_state::managed(&application, "Deployment") {
            let api: Api<Deployment> = Api::namespaced(self.cluster.clone(), &namespace);
            // A Deployment that cannot be read adds no lines; the error is returned anyway.
            if let Ok(Some(deployment)) = api.get_opt(&name).await {
                lines.extend(
                    kubernetes::pods(self.cluster, &namespace, &workload::selector(&deployment)).await,
                );
            }
        }
        if lines.is_empty() {
            return error;
        }
        let message = error.to_string();
        Error { source: anyhow::anyhow!(lines.join("\n")).context(message), ..error }
    }

    /// Only pods of this release remain, and each passes its own readiness probe.
    async fn pods_ready(&self) -> Result<()> {
        let digest = self.wanted().digest;
        let waited = self.cx.wait("the pods to become ready", INTERVAL, PODS_DEADLINE, || async {
            let Some(application) = self.application.read().await? else {
                return Ok(Poll::Pending("their Application is missing".to_owned()));
            };
            let count = workload::count(self.cluster, &application, digest).await?;
            if !count.missing.is_empty() {
                self.cx.count(count.ready, count.pods, "pods ready");
                return Ok(Poll::Pending(count.missing.join(", ")));
            }
            workload::probe(self.cluster, &application).await
        });
        match waited.await {
            Err(error) if error.class == Class::Permanent => {
                // If it cannot be read, the error is reported without the pods' lines.
                let application = self.application.read().await.ok().flatten();
                Err(self.explained(error, application).await)
            }
            other => other,
        }
    }

    /// The load balancer serves the pods, and the host's record points at it.
    async fn is_reached(&self) -> Result<()> {
        let waited =
            self.cx.wait("the load balancer and its DNS record", INTERVAL, REACHED_DEADLINE, || async {
                // Without an Application there is no Ingress either, which would pass for one that is ready.
                let Some(application) = self.application.read().await? else {
                    return Ok(Poll::Pending("the Application is missing".to_owned()));
                };
                self.endpoint.poll(&application).await
            });
        waited.await.hint(
            "read the controllers' logs: `kubectl -n kube-system logs deploy/aws-load-balancer-controller` for the \
             load balancer, `kubectl -n external-dns logs deploy/external-dns` for the record",
        )
    }
}
