//! Proves that Argo CD can list the objects of a region's namespace.
//!
//! It acts on nothing but an Application. This one is compared and never synced, and
//! its source holds nothing to deploy. To compare it, Argo CD must take its role, be let in by the cluster,
//! list every kind in the namespace and read the repository; it says so by a sync status, or reports
//! what keeps it from one. Its own API does not help: it ignores clusters without Applications.

use std::time::Duration;

use kube::{Api, Client, api::DynamicObject};
use serde_json::{Value, json};

use super::NAMESPACE;
use crate::{
    kubernetes::{self, MANAGER, argo_cd, classify},
    step::{Context, ErrorExt, Poll, Result},
};

/// Between two reads of the probe.
const INTERVAL: Duration = Duration::from_secs(1);
/// New roles, entries and trust policies take minutes to propagate, and Argo CD retries with a backoff.
const LISTED_DEADLINE: Duration = Duration::from_mins(4);

/// What Argo CD is to list.
pub(super) struct Probe<'a> {
    pub region: &'a str,
    pub server: &'a str,
    pub namespace: &'a str,
    pub repository: &'a str,
}

impl Probe<'_> {
    fn name(&self) -> String {
        format!("paydeploy-probe-{}", self.region)
    }

    fn application(&self) -> Value {
        json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": { "name": self.name(), "namespace": NAMESPACE },
            "spec": {
                "project": "default",
                "destination": { "server": self.server, "namespace": self.namespace },
                "source": {
                    "repoURL": self.repository,
                    "targetRevision": "HEAD",
                    "path": ".",
                    // no file has that name
                    "directory": { "include": "paydeploy-probe" },
                },
            },
        })
    }

    /// Waits until Argo CD has listed, and leaves nothing behind.
    pub async fn run(&self, cx: &Context, hub: &Client) -> Result<()> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(hub.clone(), NAMESPACE, &argo_cd::resource("Application"));
        let name = self.name();
        // One that a killed run left has an outdated status.
        kubernetes::delete(&api, &name).await?;
        let what = format!("Argo CD to list in namespace `{}` of region `{}`", self.namespace, self.region);
        let listed = cx.wait(&what, INTERVAL, LISTED_DEADLINE, || async {
            let Some(application) = api.get_opt(&name).await.map_err(classify)? else {
                kubernetes::apply(hub, MANAGER, &self.application()).await?;
                return Ok(Poll::Pending("probe created".to_owned()));
            };
            if application.metadata.deletion_timestamp.is_some() {
                return Ok(Poll::Pending("an earlier probe is being deleted".to_owned()));
            }
            Ok(judge(&serde_json::to_value(application)?))
        });
        let listed = listed.await;
        let removed = kubernetes::delete(&api, &name).await;
        listed.hint(
            "the role of Argo CD must be taken by its service accounts, let in by the cluster (access entry) and \
             allowed in the namespace (Role `argocd`); the repository must be readable from the hub",
        )?;
        removed.map(drop)
    }
}

fn judge(application: &Value) -> Poll<()> {
    let status = &application["status"];
    if matches!(status["sync"]["status"].as_str(), Some("Synced" | "OutOfSync")) {
        return Poll::Ready(());
    }
    let conditions = status["conditions"].as_array();
    let words = conditions.into_iter().flatten().filter_map(|condition| condition["message"].as_str());
    let words: Vec<_> = words.collect();
    Poll::Pending(if words.is_empty() { "no answer yet".to_owned() } else { words.join("; ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(status: &Value) -> Option<String> {
        match judge(&json!({ "status": status })) {
            Poll::Ready(()) => None,
            Poll::Pending(why) => Some(why),
        }
    }

    #[test]
    fn a_compared_application_proves_that_argo_cd_has_listed() {
        for compared in ["Synced", "OutOfSync"] {
            assert_eq!(pending(&json!({ "sync": { "status": compared } })), None);
        }
    }

    #[test]
    fn what_keeps_argo_cd_from_listing_is_reported_in_its_words() {
        let status = json!({
            "sync": { "status": "Unknown" },
            "conditions": [{ "type": "ComparisonError", "message": "Failed to load live state: Unauthorized" }],
        });
        assert_eq!(pending(&status).unwrap(), "Failed to load live state: Unauthorized");
        assert_eq!(pending(&json!({})).unwrap(), "no answer yet");
    }
}
