//! Deletes the application of a region: its Application, what that deployed, its DNS records.
//!
//! The order matters, as each part needs the one after it to be deleted completely:
//! 1. The release's label, or the ApplicationSet would recreate the Application.
//! 2. The Application, while Argo CD can still reach the cluster and delete what it deployed.
//! 3. The remaining Ingresses, while the load balancer controller still runs.
//! 4. The records, while external-dns still runs: each step waits until its objects no longer exist.
//!
//! Where a cluster is deleted or cannot be used, its part is left out: its objects are deleted with it, and what they
//! created in AWS is found by its tags.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use super::{
    MANAGER, NAMESPACE,
    annotations::{Annotations, LABEL, patch},
    application::Application,
};
use crate::{
    aws::records::Records,
    config::{Config, Region},
    kubernetes::{self, Balanced, Open, Reach, classify, helm},
    step::{Class, Context, ErrorExt, Poll, Result},
};

const INTERVAL: Duration = Duration::from_secs(2);
/// Pods terminate within their grace period, and a load balancer deregisters its targets (5 minutes by default).
const DELETED_DEADLINE: Duration = Duration::from_mins(10);
/// With `--force`: enough for an Argo CD that works.
const FORCED_DEADLINE: Duration = Duration::from_mins(1);
/// external-dns synchronises once a minute, and at every change of an Ingress.
const RECORDS_DEADLINE: Duration = Duration::from_mins(4);

/// Comes from the configuration only, so that a region whose facts can no longer be read can be deleted.
pub(super) struct Teardown {
    region: Region,
    /// The region's EKS cluster, and the Application.
    name: String,
    hub: Region,
    hub_cluster: String,
    namespace: String,
    /// external-dns's release and namespace.
    dns: Option<(String, String)>,
    /// The load balancer controller's.
    controller: Option<(String, String)>,
}

impl Teardown {
    pub fn new(config: &Config, region: &Region) -> Self {
        let hub = config.hub();
        let addon =
            |name: &str| config.addons.get(name).map(|addon| (name.to_owned(), addon.namespace.clone()));
        Self {
            region: region.clone(),
            name: config.name_in(&region.name),
            hub: hub.clone(),
            hub_cluster: config.name_in(&hub.name),
            namespace: config.gitops.namespace.clone(),
            dns: addon("external-dns"),
            controller: addon("aws-load-balancer-controller"),
        }
    }

    /// Deletes all of it. Returns what it deleted.
    pub async fn run(&self, cx: &Context) -> Result<Option<String>> {
        let cluster = cx.reach(&self.region.aws_region, &self.name).await?;
        let hub = cx.reach(&self.hub.aws_region, &self.hub_cluster).await?;
        let mut deleted = Vec::new();
        if let Reach::Open(Open { client: hub, .. }) = &hub {
            deleted.extend(self.unrelease(hub).await?);
            deleted.extend(self.remove_application(cx, hub, matches!(cluster, Reach::Absent)).await?);
        }
        if let Reach::Open(Open { client, .. }) = &cluster {
            deleted.extend(self.remove_ingresses(cx, client).await?);
        }
        deleted.extend(self.remove_records(cx, &cluster).await?);
        Ok((!deleted.is_empty()).then(|| deleted.join(", ")))
    }

    /// Removes the label first: without it the ApplicationSet does not recreate the Application. The Secret
    /// remains until `argocd` deletes it, as Argo CD needs it to reach the cluster.
    async fn unrelease(&self, hub: &Client) -> Result<Option<String>> {
        let name = format!("cluster-{}", self.region.name);
        let api: Api<Secret> = Api::namespaced(hub.clone(), NAMESPACE);
        let found = api.get_metadata_opt(&name).await.map_err(classify);
        let found = found.doing(format!("read Secret `{name}` on the hub"))?;
        if !found.is_some_and(|found| found.labels().contains_key(LABEL)) {
            return Ok(None);
        }
        kubernetes::apply(hub, MANAGER, &patch(&name, &Annotations::new(), false)).await?;
        Ok(Some("release withdrawn".to_owned()))
    }

    async fn remove_application(&self, cx: &Context, hub: &Client, orphaned: bool) -> Result<Option<String>> {
        let application = Application::new(hub, &self.name);
        if application.read().await?.is_none() {
            return Ok(None);
        }
        let api = application.api();
        // The ApplicationSet deletes it too, but not if it is missing itself or fails for another region.
        kubernetes::delete(&api, &self.name).await?;
        // Without the region's cluster Argo CD could never finish, and the finalizer would remain.
        if orphaned {
            application.forget().await?;
        }
        let force = cx.world.is_forced();
        let deadline = if force { FORCED_DEADLINE } else { DELETED_DEADLINE };
        let what = format!("the deletion of Application `{}`", self.name);
        let waited = cx.wait(&what, INTERVAL, deadline, || async {
            let Some(left) = application.read().await? else { return Ok(Poll::Ready(())) };
            Ok(Poll::Pending(remaining(&left)))
        });
        match waited.await {
            Ok(()) => {}
            Err(error) if force && error.class != Class::Cancelled => {
                cx.warn(error.to_string(), "none needed: `--force` removes its finalizers");
                application.forget().await?;
            }
            Err(error) => {
                return Err(error).hint(
                    "make sure that Argo CD runs on the hub and reaches the region's cluster, or run the same command \
                     with `--force`: it removes the Application's finalizer `resources-finalizer.argocd.argoproj.io`",
                );
            }
        }
        Ok(Some(format!("Application {} deleted", self.name)))
    }

    /// The Application's own Ingresses are deleted by now; any other would keep a load balancer.
    async fn remove_ingresses(&self, cx: &Context, cluster: &Client) -> Result<Option<String>> {
        let balanced = Balanced {
            client: cluster,
            namespace: Some(&self.namespace),
            aws_region: &self.region.aws_region,
            cluster: &self.name,
            is_controlled: is_installed(cluster, self.controller.as_ref()).await?,
            force: cx.world.is_forced(),
        };
        let removed = balanced.remove(cx, &cx.world.aws).await?;
        Ok((!removed.is_empty()).then(|| format!("{} deleted", removed.join(", "))))
    }

    /// Waits until external-dns has deleted the records, and deletes them itself where external-dns does not run: a
    /// record that outlives its load balancer points at a name that another account can claim.
    async fn remove_records(&self, cx: &Context, cluster: &Reach) -> Result<Option<String>> {
        let records = Records::of(&cx.world.aws, &self.region.aws_region, &self.region.domain, &self.name);
        let Some(records) = records.await? else { return Ok(None) };
        let found = records.names().await?;
        if found.is_empty() {
            return Ok(None);
        }
        match cluster {
            Reach::Open(Open { client, .. }) if is_installed(client, self.dns.as_ref()).await? => {
                let what = format!("the deletion of the records of `{}`", self.region.domain);
                let waited = cx.wait(&what, INTERVAL, RECORDS_DEADLINE, || async {
                    let left = records.names().await?;
                    Ok(if left.is_empty() { Poll::Ready(()) } else { Poll::Pending(left.join(", ")) })
                });
                match waited.await {
                    Ok(()) => return Ok(Some(format!("{} records deleted", found.len()))),
                    Err(error) if error.class == Class::Cancelled => return Err(error),
                    Err(error) => cx.warn(
                        error.to_string(),
                        "none needed: they are deleted now; its log: `kubectl -n external-dns logs deploy/external-dns`",
                    ),
                }
            }
            // An external-dns that runs would create them again. They are swept once the cluster is deleted.
            Reach::Closed(_) => return Ok(None),
            Reach::Open(_) | Reach::Absent => {}
        }
        let deleted = records.delete().await?;
        Ok(Some(format!("{} records deleted by their owner", deleted.len())))
    }
}

/// Whether a release is installed in a namespace; false where the configuration has no such add-on.
async fn is_installed(cluster: &Client, addon: Option<&(String, String)>) -> Result<bool> {
    match addon {
        Some((release, namespace)) => Ok(helm::latest(cluster, namespace, release).await?.is_some()),
        None => Ok(false),
    }
}

/// What Argo CD still has to delete, or the error that stops it.
fn remaining(application: &Value) -> String {
    let list = |path: &str, key: &str| -> Vec<String> {
        let values = application.pointer(path).and_then(Value::as_array);
        values.into_iter().flatten().filter_map(|value| value[key].as_str().map(str::to_owned)).collect()
    };
    let errors = list("/status/conditions", "message");
    if !errors.is_empty() {
        return errors.join("; ");
    }
    // The list does not shrink: Argo CD does not remove entries as it deletes their objects.
    match list("/status/resources", "kind").len() {
        0 => "being deleted".to_owned(),
        objects => format!("Argo CD is deleting its {objects} objects"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;
    use crate::{
        kubernetes::testing::{Call, client, missing},
        step::testing::{context, region},
    };

    /// Deletes an Application that only a finalizer keeps, and that Argo CD cannot finish. Returns what came of it, and the
    /// patches.
    async fn deleted_without_argo_cd(is_orphaned: bool) -> (Result<Option<String>>, Vec<String>) {
        let patches = Arc::<Mutex<Vec<String>>>::default();
        let log = patches.clone();
        let (mut is_deleting, mut is_held) = (false, true);
        let hub = client(move |call: &Call| {
            let application = json!({
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Application",
                "metadata": { "name": "payments-spain", "namespace": "argocd" },
                "status": { "conditions": [{ "message": "no such host" }] },
            });
            match call.method.as_str() {
                "DELETE" => is_deleting = true,
                "PATCH" => {
                    log.lock().unwrap().push(call.body.clone());
                    is_held = false;
                }
                _ => {}
            }
            if is_deleting && !is_held && call.method == "GET" {
                (404, missing())
            } else {
                (200, application)
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let (cx, _events) = context(folder.path());
        let teardown = Teardown {
            region: region(),
            name: "payments-spain".to_owned(),
            hub: region(),
            hub_cluster: "payments-hub".to_owned(),
            namespace: "payment-api".to_owned(),
            dns: None,
            controller: None,
        };
        let removed = teardown.remove_application(&cx, &hub, is_orphaned).await;
        let patches = patches.lock().unwrap().clone();
        (removed, patches)
    }

    #[tokio::test(start_paused = true)]
    async fn an_application_whose_cluster_is_gone_is_deleted_without_argo_cd() {
        let (removed, patches) = deleted_without_argo_cd(true).await;
        assert_eq!(removed.unwrap().unwrap(), "Application payments-spain deleted");
        assert_eq!(patches, [r#"{"metadata":{"finalizers":null}}"#]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_application_whose_cluster_exists_keeps_its_finalizer_and_the_error_says_why_and_how() {
        let (removed, patches) = deleted_without_argo_cd(false).await;
        let error = removed.unwrap_err();
        assert!(error.to_string().contains("no such host"), "{error}");
        assert!(error.hint.unwrap().contains("`--force`"));
        assert!(patches.is_empty(), "what it deployed would be left: {patches:?}");
    }

    #[test]
    fn the_error_that_stops_a_deletion_comes_before_the_number_of_objects() {
        let resources = json!([{ "kind": "Ingress" }, { "kind": "Service" }]);
        let left = json!({ "status": { "resources": resources } });
        assert_eq!(remaining(&left), "Argo CD is deleting its 2 objects");
        let held = json!({ "status": { "resources": resources, "conditions": [{ "message": "no route to host" }] } });
        assert_eq!(remaining(&held), "no route to host");
    }
}
