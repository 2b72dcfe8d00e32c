//! Checks that Argo CD can list the objects of a region's namespace.
//!
//! Argo CD connects to a cluster only for an Application; its API reports nothing about clusters without one. So the
//! probe creates an Application that deploys nothing and is never synced. To compare it, Argo CD must assume its role,
//! be admitted by the cluster, list every kind in the namespace and read the repository. A sync status shows that it
//! did; otherwise the Application's conditions report the cause.

use std::time::Duration;

use kube::{Api, Client, api::DynamicObject};
use serde_json::{Value, json};

use super::{NAMESPACE, projects};
use crate::{
    kubernetes::{self, MANAGER, argo_cd, classify},
    step::{Claim, Context, ErrorExt, Poll, Result},
};

/// Between two reads of the Application.
const INTERVAL: Duration = Duration::from_secs(1);
/// New roles, entries and trust policies take minutes to propagate, and Argo CD retries with a backoff.
const LISTED_DEADLINE: Duration = Duration::from_mins(4);

/// What Argo CD should list.
pub(super) struct Probe<'a> {
    pub region: &'a str,
    pub server: &'a str,
    pub namespace: &'a str,
    pub repository: &'a str,
}

/// The name of a region's probe.
pub(super) fn name(region: &str) -> String {
    format!("{}{region}", argo_cd::PROBE)
}

impl Probe<'_> {
    fn application(&self) -> Value {
        json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": { "name": name(self.region), "namespace": NAMESPACE },
            "spec": {
                "project": projects::PROBE,
                "destination": { "server": self.server, "namespace": self.namespace },
                "source": {
                    "repoURL": self.repository,
                    "targetRevision": "HEAD",
                    "path": ".",
                    // No file has this name, so there is nothing to deploy.
                    "directory": { "include": "paydeploy-probe" },
                },
            },
        })
    }

    /// Waits until Argo CD has listed the namespace, then deletes the probe.
    pub async fn run(&self, cx: &Context, hub: &Client) -> Result<()> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(hub.clone(), NAMESPACE, &argo_cd::resource("Application"));
        let name = name(self.region);
        // Left by a killed run whose records are lost as well, it has an outdated status.
        kubernetes::delete(&api, &name).await?;
        let claim = Claim::Probe { application: name.clone() };
        cx.claim(&claim).await?;
        let what = format!("Argo CD to list namespace `{}` in region `{}`", self.namespace, self.region);
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
        if removed.is_ok() {
            cx.release(&claim);
        }
        listed.hint(
            "make sure that Argo CD's service accounts can assume its role, that the cluster admits the role (access \
             entry) and the namespace allows it (Role `argocd`), and that the hub can read the repository",
        )?;
        removed.map(drop)
    }
}

/// Deletes the probes that dead runs left. Until then Argo CD itself could not be deleted.
pub(super) async fn remove_left(hub: &Client, left: &[Claim]) -> Result<()> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(hub.clone(), NAMESPACE, &argo_cd::resource("Application"));
    for claim in left {
        if let Claim::Probe { application } = claim {
            kubernetes::delete(&api, application).await?;
        }
    }
    Ok(())
}

/// Ready when the Application has been compared.
fn judge(application: &Value) -> Poll<()> {
    let status = &application["status"];
    if matches!(status["sync"]["status"].as_str(), Some("Synced" | "OutOfSync")) {
        return Poll::Ready(());
    }
    let conditions = status["conditions"].as_array();
    let messages = conditions.into_iter().flatten().filter_map(|condition| condition["message"].as_str());
    let messages: Vec<_> = messages.collect();
    Poll::Pending(if messages.is_empty() { "not compared yet".to_owned() } else { messages.join("; ") })
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
    fn a_compared_application_shows_that_argo_cd_listed_the_namespace() {
        for compared in ["Synced", "OutOfSync"] {
            assert_eq!(pending(&json!({ "sync": { "status": compared } })), None);
        }
    }

    #[test]
    fn what_keeps_argo_cd_from_listing_is_reported_as_argo_cd_words_it() {
        let status = json!({
            "sync": { "status": "Unknown" },
            "conditions": [{ "type": "ComparisonError", "message": "Failed to load live state: Unauthorized" }],
        });
        assert_eq!(pending(&status).unwrap(), "Failed to load live state: Unauthorized");
        assert_eq!(pending(&json!({})).unwrap(), "not compared yet");
    }
}
