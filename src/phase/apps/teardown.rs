//! The application's end in a region: its Application, what that deployed, its names.

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

const LOOK: Duration = Duration::from_secs(2);
/// A rollout's pods drain, and the load balancer lets go of them.
const GONE: Duration = Duration::from_mins(10);
/// external-dns looks once a minute, and at every change of an Ingress.
const UNNAMED: Duration = Duration::from_mins(4);

/// What is known without any fact.
pub(super) struct Teardown {
    region: Region,
    /// The region's EKS cluster, and the Application.
    name: String,
    hub: Region,
    hub_cluster: String,
    namespace: String,
    /// external-dns' release and namespace.
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

    /// Takes all of it down; says what it did.
    pub async fn run(&self, cx: &Context, input: Option<&ReleaseInput>) -> Result<Option<String>> {
        let aws = &cx.world.aws;
        let (here, hub) = match input {
            Some(input) => (Some(input.access.clone()), Some(input.hub_access.clone())),
            None => (
                kubernetes::find(aws, &self.region.aws_region, &self.name).await?,
                kubernetes::find(aws, &self.hub.aws_region, &self.hub_cluster).await?,
            ),
        };
        let mut gone = Vec::new();
        if let Some(hub) = &hub {
            let hub = kubernetes::connect(aws, hub).await?;
            gone.extend(self.unrelease(&hub).await?);
            gone.extend(self.remove_application(cx, &hub, here.is_none()).await?);
        }
        if let Some(here) = &here {
            let client = kubernetes::connect(aws, here).await?;
            gone.extend(self.remove_ingresses(cx, &client).await?);
            gone.extend(self.wait_for_dns(cx, &client, input.map(|input| &input.foundation)).await?);
        }
        Ok((!gone.is_empty()).then(|| gone.join(", ")))
    }

    /// The label first: without it the ApplicationSet makes no Application anew. The Secret stays, or Argo CD
    /// could not reach the cluster to delete anything.
    async fn unrelease(&self, hub: &Client) -> Result<Option<String>> {
        let name = format!("cluster-{}", self.region.name);
        let api: Api<Secret> = Api::namespaced(hub.clone(), NAMESPACE);
        let found = api.get_metadata_opt(&name).await.map_err(classify);
        let found = found.doing(format!("look at Secret `{name}` on the hub"))?;
        if !found.is_some_and(|found| found.labels().contains_key(LABEL)) {
            return Ok(None);
        }
        kubernetes::apply(hub, MANAGER, &patch(&name, &Annotations::new(), false)).await?;
        Ok(Some("release withdrawn".to_owned()))
    }

    async fn remove_application(&self, cx: &Context, hub: &Client, orphaned: bool) -> Result<Option<String>> {
        let application = Application::new(hub, &self.name);
        if application.look().await?.is_none() {
            return Ok(None);
        }
        let api = application.api();
        // the ApplicationSet does so too, unless it is gone or another region's release stops it
        kubernetes::delete(&api, &self.name).await?;
        if orphaned {
            application.forget().await?;
        }
        cx.wait(&format!("the end of Application `{}`", self.name), LOOK, GONE, || async {
            let Some(left) = application.look().await? else { return Ok(Poll::Ready(())) };
            Ok(Poll::Pending(what_is_left(&left)))
        })
        .await
        .hint("Argo CD must run on the hub and reach the region's cluster to delete what it deployed")?;
        Ok(Some(format!("Application {} removed", self.name)))
    }

    /// Those of the Application went with it; others would keep a load balancer.
    async fn remove_ingresses(&self, cx: &Context, here: &Client) -> Result<Option<String>> {
        let api: Api<Ingress> = Api::namespaced(here.clone(), &self.namespace);
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
        cx.wait("the end of every Ingress", LOOK, GONE, || async {
            let names: Vec<_> = left().await?.iter().map(ResourceExt::name_any).collect();
            Ok(if names.is_empty() { Poll::Ready(()) } else { Poll::Pending(names.join(", ")) })
        })
        .await
        .hint("the load balancer controller must run in the region's cluster to let go of an Ingress")?;
        Ok(Some("Ingress removed".to_owned()))
    }

    /// A record that outlives its load balancer points at a name that somebody else can claim.
    async fn wait_for_dns(
        &self,
        cx: &Context,
        here: &Client,
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
            Some((release, namespace)) => helm::latest(here, namespace, release).await?,
            None => None,
        };
        if keeper.is_none() {
            return Ok(Some(format!("records stay, as external-dns is not there: {}", found.join(", "))));
        }
        cx.wait(&format!("the end of the records of `{}`", self.region.domain), LOOK, UNNAMED, || async {
            let left = records().await?;
            Ok(if left.is_empty() { Poll::Ready(()) } else { Poll::Pending(left.join(", ")) })
        })
        .await
        .hint("external-dns says more: `kubectl -n external-dns logs deploy/external-dns`")?;
        Ok(Some(format!("{} records removed", found.len())))
    }
}

/// What Argo CD has still to delete, or what keeps it from it.
fn what_is_left(application: &Value) -> String {
    let list = |path: &str, key: &str| -> Vec<String> {
        let values = application.pointer(path).and_then(Value::as_array);
        values.into_iter().flatten().filter_map(|value| value[key].as_str().map(str::to_owned)).collect()
    };
    let errors = list("/status/conditions", "message");
    if !errors.is_empty() {
        return errors.join("; ");
    }
    // Argo CD does not strike off what it has deleted
    match list("/status/resources", "kind").len() {
        0 => "it is being deleted".to_owned(),
        objects => format!("Argo CD deletes its {objects} objects"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_holds_an_application_is_told_before_how_much_is_left() {
        let resources = json!([{ "kind": "Ingress" }, { "kind": "Service" }]);
        let left = json!({ "status": { "resources": resources } });
        assert_eq!(what_is_left(&left), "Argo CD deletes its 2 objects");
        let held = json!({ "status": { "resources": resources, "conditions": [{ "message": "no route to host" }] } });
        assert_eq!(what_is_left(&held), "no route to host");
    }
}
