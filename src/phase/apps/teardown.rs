//! Deletes the application of a region: its Application, what that deployed, its DNS records.
//!
//! The order matters, as each part needs the one after it to be deleted completely:
//! 1. The release's label, or the ApplicationSet would recreate the Application.
//! 2. The Application, while Argo CD can still reach the cluster and delete what it deployed.
//! 3. The remaining Ingresses, while the load balancer controller still runs.
//! 4. The records, while external-dns still runs: each step waits until its objects no longer exist.

use std::time::Duration;

use k8s_openapi::api::{core::v1::Secret, networking::v1::Ingress};
use kube::{Api, Client, ResourceExt, api::ListParams};
use serde_json::Value;

use super::{
    MANAGER, NAMESPACE,
    annotations::{Annotations, LABEL, patch},
    application::Application,
    dns,
    input::ReleaseInput,
};
use crate::{
    config::{Config, Region},
    fact,
    kubernetes::{self, classify, helm},
    step::{Context, ErrorExt, Poll, Result},
};

const INTERVAL: Duration = Duration::from_secs(2);
/// Pods terminate within their grace period, and a load balancer deregisters its targets (5 minutes by default).
const DELETED_DEADLINE: Duration = Duration::from_mins(10);
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
}

impl Teardown {
    pub fn new(config: &Config, region: &Region) -> Self {
        let hub = config.hub();
        let dns = "external-dns";
        Self {
            region: region.clone(),
            name: config.name_in(&region.name),
            hub: hub.clone(),
            hub_cluster: config.name_in(&hub.name),
            namespace: config.gitops.namespace.clone(),
            dns: config.addons.get(dns).map(|addon| (dns.to_owned(), addon.namespace.clone())),
        }
    }

    /// Deletes all of it. Returns what it deleted.
    pub async fn run(&self, cx: &Context, input: Option<&ReleaseInput>) -> Result<Option<String>> {
        let aws = &cx.world.aws;
        let (cluster, hub) = match input {
            Some(input) => (Some(input.access.clone()), Some(input.hub_access.clone())),
            None => (
                kubernetes::find(aws, &self.region.aws_region, &self.name).await?,
                kubernetes::find(aws, &self.hub.aws_region, &self.hub_cluster).await?,
            ),
        };
        let mut deleted = Vec::new();
        if let Some(hub) = &hub {
            let hub = kubernetes::connect(aws, hub).await?;
            deleted.extend(self.unrelease(&hub).await?);
            deleted.extend(self.remove_application(cx, &hub, cluster.is_none()).await?);
        }
        if let Some(cluster) = &cluster {
            let client = kubernetes::connect(aws, cluster).await?;
            deleted.extend(self.remove_ingresses(cx, &client).await?);
            deleted.extend(self.wait_for_dns(cx, &client, input.map(|input| &input.foundation)).await?);
        }
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
        cx.wait(&format!("the deletion of Application `{}`", self.name), INTERVAL, DELETED_DEADLINE, || async {
            let Some(left) = application.read().await? else { return Ok(Poll::Ready(())) };
            Ok(Poll::Pending(remaining(&left)))
        })
        .await
        .hint("make sure that Argo CD runs on the hub and reaches the region's cluster, then run the same command again")?;
        Ok(Some(format!("Application {} deleted", self.name)))
    }

    /// The Application's own Ingresses are deleted by now; any other would keep a load balancer.
    async fn remove_ingresses(&self, cx: &Context, cluster: &Client) -> Result<Option<String>> {
        let api: Api<Ingress> = Api::namespaced(cluster.clone(), &self.namespace);
        let mut found = false;
        let left = || async {
            let all = api.list(&ListParams::default()).await.map_err(classify)?;
            Ok::<_, crate::step::Error>(all.items)
        };
        for ingress in left().await? {
            found = true;
            kubernetes::delete(&api, &ingress.name_any()).await?;
        }
        if !found {
            return Ok(None);
        }
        cx.wait("the deletion of every Ingress", INTERVAL, DELETED_DEADLINE, || async {
            let names: Vec<_> = left().await?.iter().map(ResourceExt::name_any).collect();
            Ok(if names.is_empty() { Poll::Ready(()) } else { Poll::Pending(names.join(", ")) })
        })
        .await
        .hint("make sure that the load balancer controller runs in the region's cluster: it holds a finalizer on each Ingress")?;
        Ok(Some("Ingresses deleted".to_owned()))
    }

    /// Waits for the records: one that outlives its load balancer points at a name that another account can claim.
    async fn wait_for_dns(
        &self,
        cx: &Context,
        cluster: &Client,
        network: Option<&fact::Foundation>,
    ) -> Result<Option<String>> {
        let (aws, aws_region) = (&cx.world.aws, &self.region.aws_region);
        let zone = match (network, &self.region.hosted_zone) {
            (Some(network), _) => Some(network.hosted_zone_id.clone()),
            (None, Some(name)) => dns::zone(aws, aws_region, name).await?,
            (None, None) => None,
        };
        let Some(zone) = zone else { return Ok(None) };
        let records = || dns::records(aws, aws_region, &zone, &self.region.domain);
        let found = records().await?;
        if found.is_empty() {
            return Ok(None);
        }
        let keeper = match &self.dns {
            Some((release, namespace)) => helm::latest(cluster, namespace, release).await?,
            None => None,
        };
        if keeper.is_none() {
            cx.warn(
                format!("DNS records remain: {}", found.join(", ")),
                format!("delete them in the hosted zone `{zone}`: external-dns is not installed, so nothing else does"),
            );
            return Ok(None);
        }
        cx.wait(
            &format!("the deletion of the records of `{}`", self.region.domain),
            INTERVAL,
            RECORDS_DEADLINE,
            || async {
                let left = records().await?;
                Ok(if left.is_empty() { Poll::Ready(()) } else { Poll::Pending(left.join(", ")) })
            },
        )
        .await
        .hint("read its log: `kubectl -n external-dns logs deploy/external-dns`")?;
        Ok(Some(format!("{} records deleted", found.len())))
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
    use serde_json::json;

    use super::*;

    #[test]
    fn the_error_that_stops_a_deletion_comes_before_the_number_of_objects() {
        let resources = json!([{ "kind": "Ingress" }, { "kind": "Service" }]);
        let left = json!({ "status": { "resources": resources } });
        assert_eq!(remaining(&left), "Argo CD is deleting its 2 objects");
        let held = json!({ "status": { "resources": resources, "conditions": [{ "message": "no route to host" }] } });
        assert_eq!(remaining(&held), "no route to host");
    }
}
