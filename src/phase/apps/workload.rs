//! Checks that a release's pods run the right image, are ready, and pass their own readiness probe.

use futures::future::join_all;
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde_json::Value;

use super::sync_state::{Managed, managed};
use crate::{
    kubernetes::{self, classify, ready},
    step::{Class, ErrorExt, Poll, Result},
};

/// The number of pods, the number that are ready with the release's image, and what is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub pods: u32,
    pub ready: u32,
    pub missing: Vec<String>,
}

/// Counts the pods of an Application's Deployments; `digest` is the image that they must run.
pub(super) async fn count(client: &Client, application: &Value, digest: &str) -> Result<Count> {
    let mut count = Count::default();
    for managed in &managed(application, "HorizontalPodAutoscaler") {
        count.missing.extend(below_minimum(client, managed).await?);
    }
    for managed in &managed(application, "Deployment") {
        let found = deployment(client, managed).await?;
        let Some((deployment, pods)) = found else {
            count.missing.push(format!("deployment `{}` is missing", managed.name));
            continue;
        };
        let live = serde_json::to_value(&deployment)?;
        if let Some(why) = ready::judge("Deployment", &live) {
            count.missing.push(format!("deployment `{}`: {why}", managed.name));
        }
        let mut others = 0;
        for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            count.pods += 1;
            if !runs(pod, digest) {
                others += 1;
            } else if let Some(why) = unready(pod) {
                count.missing.push(format!("pod `{}`: {why}", pod.name_any()));
            } else {
                count.ready += 1;
            }
        }
        if others > 0 {
            count.missing.push(format!("{others} of {} pods run another image", count.pods));
        }
    }
    Ok(count)
}

/// The problems of an Application's ExternalSecrets.
pub(super) async fn secrets(client: &Client, application: &Value) -> Result<Vec<String>> {
    let resource = kubernetes::kind("external-secrets.io", "v1", "ExternalSecret");
    let mut troubles = Vec::new();
    for Managed { namespace, name, .. } in managed(application, "ExternalSecret") {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
        let found = api.get_opt(&name).await.map_err(classify);
        let found = found.doing(format!("read ExternalSecret `{namespace}/{name}`"))?;
        let why = match found {
            None => Some("missing".to_owned()),
            Some(found) => ready::unmet(&serde_json::to_value(found)?, "Ready"),
        };
        troubles.extend(why.map(|why| format!("ExternalSecret `{name}`: {why}")));
    }
    Ok(troubles)
}

/// Why an autoscaler has not reached its minimum. It starts from the single pod of a new Deployment, and takes some
/// seconds.
async fn below_minimum(client: &Client, managed: &Managed) -> Result<Option<String>> {
    let Managed { namespace, name, .. } = managed;
    let api: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), namespace);
    let doing = || format!("read autoscaler `{namespace}/{name}`");
    let Some(found) = api.get_opt(name).await.map_err(classify).doing(doing())? else { return Ok(None) };
    let current = found.status.as_ref().and_then(|status| status.current_replicas).unwrap_or(0);
    let Some(minimum) = found.spec.and_then(|spec| spec.min_replicas) else { return Ok(None) };
    Ok((current < minimum).then(|| format!("autoscaler `{name}` has {current} of at least {minimum} pods")))
}

fn runs(pod: &Pod, digest: &str) -> bool {
    let is_it = |image: &str| image.rsplit_once('@').is_some_and(|(_, found)| found == digest);
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    containers.iter().any(|container| container.image.as_deref().is_some_and(is_it))
}

fn unready(pod: &Pod) -> Option<String> {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let is_ready = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
    (!is_ready).then(|| kubernetes::pod_trouble(pod).unwrap_or_else(|| "not ready".to_owned()))
}

async fn deployment(client: &Client, managed: &Managed) -> Result<Option<(Deployment, Vec<Pod>)>> {
    let Managed { namespace, name, .. } = managed;
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let doing = || format!("read deployment `{namespace}/{name}`");
    let Some(found) = api.get_opt(name).await.map_err(classify).doing(doing())? else { return Ok(None) };
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = ListParams::default().labels(&selector(&found));
    let pods = api.list(&params).await.map_err(classify).doing(doing())?;
    Ok(Some((found, pods.items)))
}

/// The label selector for the pods of a Deployment: `a=b,c=d`.
pub(super) fn selector(deployment: &Deployment) -> String {
    let labels = deployment.spec.as_ref().and_then(|spec| spec.selector.match_labels.as_ref());
    let pairs = labels.into_iter().flatten().map(|(key, value)| format!("{key}={value}"));
    pairs.collect::<Vec<_>>().join(",")
}

/// The port and path of a pod's own readiness probe.
fn readiness_probe(pod: &Pod) -> Option<(String, String)> {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    let containers = &pod.spec.as_ref()?.containers;
    let (container, probe) = containers
        .iter()
        .find_map(|container| Some((container, container.readiness_probe.as_ref()?.http_get.as_ref()?)))?;
    let port = match &probe.port {
        IntOrString::Int(port) => *port,
        IntOrString::String(name) => {
            let ports = container.ports.iter().flatten();
            ports.filter(|port| port.name.as_ref() == Some(name)).map(|port| port.container_port).next()?
        }
    };
    Some((port.to_string(), probe.path.clone().unwrap_or_else(|| "/".to_owned())))
}

/// Sends each pod the request with which the kubelet and the load balancer probe it, through the API server.
pub(super) async fn probe(client: &Client, application: &Value) -> Result<Poll<()>> {
    for managed in &managed(application, "Deployment") {
        let Some((_, pods)) = deployment(client, managed).await? else {
            return Ok(Poll::Pending(format!("deployment `{}` is missing", managed.name)));
        };
        let requests =
            pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).filter_map(|pod| {
                let (port, path) = readiness_probe(pod)?;
                let name = pod.name_any();
                Some(async move {
                    kubernetes::get_from_pod(client, &managed.namespace, &name, &port, &path).await
                })
            });
        for response in join_all(requests).await {
            match response {
                Ok(_) => {}
                // The pod was deleted in the meantime, or responded that it is not ready.
                Err(error) if error.class != Class::Cancelled => return Ok(Poll::Pending(error.to_string())),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(Poll::Ready(()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(image: &str, ready: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "api-1" },
            "spec": { "containers": [{
                "name": "api", "image": image,
                "ports": [{ "name": "metrics", "containerPort": 9090 }, { "name": "http", "containerPort": 8080 }],
                "readinessProbe": { "httpGet": { "path": "/readyz", "port": "http" } },
            }] },
            "status": { "phase": "Running", "conditions": [
                { "type": "Ready", "status": ready, "message": "containers with unready status: [api]" },
            ] },
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_counts_when_it_is_ready_and_runs_the_digest() {
        assert!(runs(&pod("ecr/payments@sha256:2", "True"), "sha256:2"));
        assert!(!runs(&pod("ecr/payments@sha256:1", "True"), "sha256:2"));
        assert!(!runs(&pod("ecr/payments:sha256:2", "True"), "sha256:2"));
        assert_eq!(unready(&pod("x", "True")), None);
        let unready = unready(&pod("x", "False")).unwrap();
        assert!(unready.contains("unready status"), "{unready}");
    }

    #[test]
    fn a_pod_is_probed_by_its_own_readiness_probe() {
        let (port, path) = readiness_probe(&pod("x", "True")).unwrap();
        assert_eq!((port.as_str(), path.as_str()), ("8080", "/readyz"));
        let without: Value = json!({ "metadata": {}, "spec": { "containers": [{ "name": "a" }] } });
        assert_eq!(readiness_probe(&serde_json::from_value(without).unwrap()), None);
    }
}
