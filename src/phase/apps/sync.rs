//! From the annotations to an application that answers: what `apply` waits for, and what it says when it waits
//! in vain.

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

const LOOK: Duration = Duration::from_secs(2);
/// The migration's own deadline, a rollout's, and the tries of a sync.
const HEALTHY: Duration = Duration::from_mins(20);
/// External Secrets and a rollout's first pods may be degraded for a moment.
const DEGRADED: Duration = Duration::from_mins(1);
/// The repository's server may be starting, a cluster not known to all of Argo CD yet.
const BROKEN: Duration = Duration::from_mins(3);
const ANSWERS: Duration = Duration::from_mins(3);
/// A load balancer takes minutes to be active, its targets two health checks to be healthy, and external-dns
/// looks once a minute.
const REACHED: Duration = Duration::from_mins(10);

/// A release on its way.
pub(super) struct Sync<'a> {
    pub cx: &'a Context,
    pub hub: &'a Client,
    pub here: &'a Client,
    pub endpoint: Endpoint<'a>,
    pub application: &'a Application,
    pub release: &'a Annotations,
}

/// What has to be remembered between two looks.
#[derive(Default)]
struct Memory {
    /// Since when it has been degraded or broken.
    ill_since: Option<Instant>,
    /// When the sync had started that failed before this run.
    failed_before: Option<String>,
    last: Option<Value>,
}

impl Sync<'_> {
    pub async fn run(&self) -> Result<()> {
        self.healthy().await?;
        self.answers().await?;
        self.is_reached().await
    }

    fn wanted(&self) -> Wanted<'_> {
        let text = |key: &str| self.release.get(key).map_or("", String::as_str);
        Wanted { commit: text("commit"), digest: text("digest") }
    }

    /// Synced and Healthy at this release.
    async fn healthy(&self) -> Result<()> {
        let memory = Mutex::new(Memory { failed_before: self.begin_anew().await?, ..Memory::default() });
        let what = format!("Application `{}`", self.application.name);
        let waited = self.cx.wait(&what, LOOK, HEALTHY, || self.look(&memory)).await;
        let memory = memory.into_inner().expect("nobody panics with it");
        match waited {
            Err(error) if error.class == Class::Permanent => Err(self.explained(error, memory.last).await),
            other => other,
        }
    }

    /// Begins a sync of this very release anew, if one has failed before; says when that one had started.
    async fn begin_anew(&self) -> Result<Option<String>> {
        let Some(application) = self.application.look().await? else { return Ok(None) };
        let SyncState::Failed { started, .. } = sync_state::judge(&application, self.wanted()) else {
            return Ok(None);
        };
        self.cx.progress("begins the sync anew that has failed before");
        self.application.sync_again(self.release).await?;
        Ok(Some(started))
    }

    async fn look(&self, memory: &Mutex<Memory>) -> Result<Poll<()>> {
        let Some(application) = self.application.look().await? else {
            let why = generation_error(self.hub).await?;
            return Ok(Poll::Pending(why.unwrap_or_else(|| "it is not there yet".to_owned())));
        };
        let verdict = sync_state::judge(&application, self.wanted());
        if verdict == SyncState::Occupied {
            self.application.end_sync().await?;
        }
        let mut troubles = Vec::new();
        if matches!(verdict, SyncState::Settling(_) | SyncState::Degraded(_)) {
            troubles = self.troubles(&application).await;
        }
        let told =
            |why: String| if troubles.is_empty() { why } else { format!("{why}: {}", troubles.join(", ")) };
        let mut memory = memory.lock().expect("nobody panics with it");
        memory.last = Some(application);
        let patience = match verdict {
            SyncState::Degraded(_) => Some(DEGRADED),
            SyncState::Broken(_) => Some(BROKEN),
            _ => None,
        };
        let since = memory.ill_since.take().unwrap_or_else(Instant::now);
        memory.ill_since = patience.map(|_| since);
        match verdict {
            SyncState::Healthy => Ok(Poll::Ready(())),
            SyncState::Occupied => {
                Ok(Poll::Pending("ends the tries of an earlier release's sync".to_owned()))
            }
            SyncState::Progressing(why) | SyncState::Settling(why) => Ok(Poll::Pending(told(why))),
            SyncState::Degraded(why) | SyncState::Broken(why)
                if patience.is_some_and(|patience| since.elapsed() < patience) =>
            {
                Ok(Poll::Pending(told(why)))
            }
            SyncState::Degraded(why) => Err(self.error(&format!("is {}", told(why)))),
            SyncState::Broken(why) => Err(self.error(&format!("cannot be compared with its commit: {why}"))),
            SyncState::Failed { started, .. } if memory.failed_before.as_ref() == Some(&started) => {
                Ok(Poll::Pending("the sync that failed before begins anew".to_owned()))
            }
            SyncState::Failed { why, .. } => Err(self.error(&format!("could not be synced: {why}"))),
        }
    }

    /// What the objects of the region say themselves, as Argo CD does not pass it on.
    async fn troubles(&self, application: &Value) -> Vec<String> {
        let (count, secrets) = futures::join!(
            workload::count(self.here, application, self.wanted().digest),
            workload::secrets(self.here, application),
        );
        // only words are lost if they cannot be asked
        [count.map(|count| count.missing).unwrap_or_default(), secrets.unwrap_or_default()].concat()
    }

    fn error(&self, what: &str) -> Error {
        let name = &self.application.name;
        Error::permanent(format!("Application `{name}` {what}"))
            .with_hint("repair what is named, then run the same command again: the sync begins anew")
    }

    /// The error, with what the pods behind it say.
    async fn explained(&self, error: Error, application: Option<Value>) -> Error {
        let Some(application) = application else { return error };
        let mut lines = Vec::new();
        for Managed { name, namespace, .. } in sync_state::failed_jobs(&application) {
            let selector = format!("batch.kubernetes.io/job-name={name}");
            lines.extend(kubernetes::pods(self.here, &namespace, &selector).await);
        }
        for Managed { name, namespace, .. } in sync_state::managed(&application, "Deployment") {
            let api: Api<Deployment> = Api::namespaced(self.here.clone(), &namespace);
            if let Ok(Some(deployment)) = api.get_opt(&name).await {
                lines.extend(kubernetes::pods(self.here, &namespace, &workload::selector(&deployment)).await);
            }
        }
        if lines.is_empty() {
            return error;
        }
        let said = error.to_string();
        Error { source: anyhow::anyhow!(lines.join("\n")).context(said), ..error }
    }

    /// The newest pods, and they alone, are there, and say themselves that they are ready.
    async fn answers(&self) -> Result<()> {
        let digest = self.wanted().digest;
        let waited = self.cx.wait("the pods to answer", LOOK, ANSWERS, || async {
            let Some(application) = self.application.look().await? else {
                return Ok(Poll::Pending("their Application is not there".to_owned()));
            };
            let count = workload::count(self.here, &application, digest).await?;
            if !count.missing.is_empty() {
                self.cx.count(count.ready, count.pods, "pods");
                return Ok(Poll::Pending(count.missing.join(", ")));
            }
            workload::answer(self.here, &application).await
        });
        match waited.await {
            Err(error) if error.class == Class::Permanent => {
                let application = self.application.look().await.ok().flatten();
                Err(self.explained(error, application).await)
            }
            other => other,
        }
    }

    async fn is_reached(&self) -> Result<()> {
        let waited = self.cx.wait("the load balancer and its name", LOOK, REACHED, || async {
            let application = self.application.look().await?.unwrap_or_default();
            self.endpoint.look(&application).await
        });
        waited.await.hint(
            "the load balancer controller says more (`kubectl -n kube-system logs \
             deploy/aws-load-balancer-controller`), or of the name external-dns (`kubectl -n external-dns logs \
             deploy/external-dns`)",
        )
    }
}
