//! Waits until all load balancers are deleted before their controller is uninstalled, because only the controller
//! deletes the load balancers that it created.

use std::time::Duration;

use k8s_openapi::api::{core::v1::Service, networking::v1::Ingress};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DynamicObject, ListParams},
};

use crate::{
    aws::balancers,
    kubernetes::{self, classify},
    step::{Context, ErrorExt, Poll, Result},
};

/// Between two reads of the cluster and of AWS.
const INTERVAL: Duration = Duration::from_secs(3);
/// A load balancer deregisters its targets (5 minutes by default) before it is deleted.
const DELETED_DEADLINE: Duration = Duration::from_mins(10);

/// Waits until no object in the cluster needs a load balancer, and AWS has no load balancer of the cluster.
pub(super) async fn wait_until_unused(
    cx: &Context,
    client: &Client,
    aws_region: &str,
    cluster: &str,
) -> Result<()> {
    cx.wait("the deletion of every Ingress and load balancer", INTERVAL, DELETED_DEADLINE, || async {
        let mut remaining = users(client).await?;
        if remaining.is_empty() {
            remaining = balancers::of_cluster(&cx.world.aws, aws_region, cluster).await?.names();
        }
        Ok(if remaining.is_empty() { Poll::Ready(()) } else { Poll::Pending(remaining.join(", ")) })
    })
    .await
    .hint("delete the objects above and the controllers that recreate them, then run the same command again")
}

/// The objects for which the controller creates load balancers.
async fn users(client: &Client) -> Result<Vec<String>> {
    let all = ListParams::default();
    let ingresses = Api::<Ingress>::all(client.clone()).list(&all).await.map_err(classify)?;
    let services = Api::<Service>::all(client.clone()).list(&all).await.map_err(classify)?;
    let binding = kubernetes::kind("elbv2.k8s.aws", "v1beta1", "TargetGroupBinding");
    let bindings = match Api::<DynamicObject>::all_with(client.clone(), &binding).list(&all).await {
        Ok(list) => list.items,
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(error) => return Err(classify(error)),
    };
    let needs_balancer = |service: &&Service| {
        service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer")
    };
    let mut users: Vec<_> = ingresses.items.iter().map(|ingress| title("Ingress", ingress)).collect();
    users.extend(services.items.iter().filter(needs_balancer).map(|service| title("Service", service)));
    users.extend(bindings.iter().map(|binding| title("TargetGroupBinding", binding)));
    Ok(users)
}

fn title<K: Resource>(kind: &str, object: &K) -> String {
    format!("{kind} {}/{}", object.namespace().unwrap_or_default(), object.name_any())
}
