//! Whether objects do their work: judged by their own status, never by time.

use futures::future::join_all;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams},
};
use serde_json::Value;

use super::{classify, kind, title};
use crate::task::{ErrorExt, Result};

/// Something that is not ready, and the pods whose troubles may explain it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub what: String,
    /// Namespace and label selector.
    pub pods: Option<(String, String)>,
}

impl Missing {
    fn new(what: String) -> Self {
        Self { what, pods: None }
    }
}

/// One line of what is missing.
pub fn summary(missing: &[Missing]) -> String {
    missing.iter().map(|missing| missing.what.as_str()).collect::<Vec<_>>().join(", ")
}

/// What is not ready of the objects in a rendered manifest, its objects being in `namespace` unless they
/// say otherwise.
pub async fn missing(client: &Client, manifest: &str, namespace: &str) -> Result<Vec<Missing>> {
    let Looked { objects, crds } = looked_at(manifest)?;
    let each = objects.iter().map(|object| one(client, object, namespace));
    let (unserved, found) = futures::join!(unserved(client, crds), join_all(each));
    let mut missing = unserved?;
    for found in found {
        missing.extend(found?);
    }
    Ok(missing)
}

/// Kinds whose readiness is judged by their status, with their groups and whether they are in a namespace.
const JUDGED: [(&str, &str, bool); 6] = [
    ("Deployment", "apps", true),
    ("StatefulSet", "apps", true),
    ("DaemonSet", "apps", true),
    ("APIService", "apiregistration.k8s.io", false),
    ("MutatingWebhookConfiguration", "admissionregistration.k8s.io", false),
    ("ValidatingWebhookConfiguration", "admissionregistration.k8s.io", false),
];

/// What of a manifest is looked at.
#[derive(Debug, Default)]
struct Looked {
    objects: Vec<Value>,
    /// CustomResourceDefinitions, by name: their schemas may be megabytes, here and in the API server's answer.
    crds: Vec<String>,
}

/// The objects of a manifest whose readiness is judged. The others are not even read.
fn looked_at(manifest: &str) -> Result<Looked> {
    let mut looked = Looked::default();
    for document in manifest.split("\n---") {
        let kind = document.lines().find_map(|line| line.strip_prefix("kind:")).unwrap_or_default().trim();
        if kind == "CustomResourceDefinition" {
            let name = document.lines().find_map(|line| line.strip_prefix("  name: "));
            looked.crds.extend(name.map(|name| name.trim().trim_matches(['"', '\'']).to_owned()));
        } else if JUDGED.iter().any(|(judged, ..)| *judged == kind) {
            let document = document.strip_prefix("---").unwrap_or(document);
            looked.objects.push(serde_norway::from_str(document).doing("read a release's manifest")?);
        }
    }
    Ok(looked)
}

/// Those of the CustomResourceDefinitions whose kinds the API server does not serve.
async fn unserved(client: &Client, crds: Vec<String>) -> Result<Vec<Missing>> {
    if crds.is_empty() {
        return Ok(Vec::new());
    }
    let served = client.list_api_groups_aggregated().await.map_err(classify);
    let served = served.doing("ask the API server which kinds it serves")?;
    let is_served = |crd: &str| {
        let (plural, group) = crd.split_once('.').unwrap_or((crd, ""));
        served.items.iter().any(|found| {
            let name = found.metadata.as_ref().and_then(|metadata| metadata.name.as_deref());
            name == Some(group)
                && found
                    .versions
                    .iter()
                    .flat_map(|version| &version.resources)
                    .any(|kind| kind.resource.as_deref() == Some(plural))
        })
    };
    let missing = crds.iter().filter(|crd| !is_served(crd));
    Ok(missing.map(|crd| Missing::new(format!("{crd} is not served"))).collect())
}

async fn one(client: &Client, object: &Value, namespace: &str) -> Result<Option<Missing>> {
    let (name, what) = (object["metadata"]["name"].as_str().unwrap_or_default(), title(object));
    let kind_name = object["kind"].as_str().unwrap_or_default();
    let Some((_, group, namespaced)) = JUDGED.iter().find(|(judged, ..)| *judged == kind_name) else {
        return Ok(None);
    };
    let resource = kind(group, "v1", kind_name);
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or(namespace);
    let api: Api<DynamicObject> = if *namespaced {
        Api::namespaced_with(client.clone(), namespace, &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    };
    let found = api.get_opt(name).await.map_err(classify).doing(format!("look at `{what}`"))?;
    let Some(live) = found else { return Ok(Some(Missing::new(format!("{what} is not there")))) };
    let live = serde_json::to_value(live)?;
    if kind_name.ends_with("WebhookConfiguration") {
        return webhooks(client, &live, &what).await;
    }
    Ok(judge(kind_name, &live).map(|why| Missing {
        what: format!("{what}: {why}"),
        pods: selector(&live).map(|selector| (namespace.to_owned(), selector)),
    }))
}

async fn webhooks(client: &Client, live: &Value, what: &str) -> Result<Option<Missing>> {
    if let Some(webhook) = without_ca(live) {
        return Ok(Some(Missing::new(format!("{what}: webhook {webhook} has no caBundle"))));
    }
    for (namespace, service) in services(live) {
        if !answered(client, &namespace, &service).await? {
            return Ok(Some(Missing::new(format!("{what}: service {service} has no ready endpoint"))));
        }
    }
    Ok(None)
}

/// Whether a service has an endpoint that is ready.
pub async fn answered(client: &Client, namespace: &str, service: &str) -> Result<bool> {
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let params = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    let slices = api.list(&params).await.map_err(classify);
    let slices = slices.doing(format!("look at the endpoints of service `{service}`"))?;
    Ok(slices.items.iter().any(has_ready_endpoint))
}

fn has_ready_endpoint(slice: &EndpointSlice) -> bool {
    let mut endpoints = slice.endpoints.iter();
    // no word on it means ready, as the API defines it
    endpoints.any(|endpoint| endpoint.conditions.as_ref().is_none_or(|seen| seen.ready != Some(false)))
}

fn without_ca(configuration: &Value) -> Option<&str> {
    let webhooks = configuration["webhooks"].as_array()?;
    let without = webhooks.iter().find(|webhook| {
        let client = &webhook["clientConfig"];
        client["service"].is_object() && client["caBundle"].as_str().is_none_or(str::is_empty)
    })?;
    without["name"].as_str()
}

fn services(configuration: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let webhooks = configuration["webhooks"].as_array();
    let mut services: Vec<_> = webhooks
        .into_iter()
        .flatten()
        .map(|webhook| &webhook["clientConfig"]["service"])
        .filter_map(|service| Some((text(&service["namespace"])?, text(&service["name"])?)))
        .collect();
    services.sort();
    services.dedup();
    services
}

/// `a=b,c=d` of a workload's own selector.
fn selector(workload: &Value) -> Option<String> {
    let labels = workload["spec"]["selector"]["matchLabels"].as_object()?;
    let pairs = labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    Some(pairs.collect::<Vec<_>>().join(","))
}

/// What keeps an object from being ready; `None` when nothing does.
pub fn judge(kind: &str, live: &Value) -> Option<String> {
    let (spec, status) = (&live["spec"], &live["status"]);
    let count = |name: &str| status[name].as_u64().unwrap_or(0);
    let seen = || {
        let generation = live["metadata"]["generation"].as_u64().unwrap_or(0);
        (count("observedGeneration") < generation).then(|| "its change has not been seen yet".to_owned())
    };
    let enough = |have: u64, want: u64, what: &str| (have < want).then(|| format!("{have} of {want} {what}"));
    match kind {
        "Deployment" => {
            let want = spec["replicas"].as_u64().unwrap_or(1);
            seen()
                .or_else(|| enough(count("updatedReplicas"), want, "replicas updated"))
                .or_else(|| enough(count("availableReplicas"), want, "replicas available"))
                .or_else(|| {
                    let old = count("replicas").saturating_sub(count("updatedReplicas"));
                    (old > 0).then(|| format!("{old} old replicas still there"))
                })
        }
        "StatefulSet" => {
            let want = spec["replicas"].as_u64().unwrap_or(1);
            seen()
                .or_else(|| enough(count("updatedReplicas"), want, "replicas updated"))
                .or_else(|| enough(count("availableReplicas"), want, "replicas available"))
        }
        "DaemonSet" => {
            let want = count("desiredNumberScheduled");
            seen()
                .or_else(|| enough(count("updatedNumberScheduled"), want, "pods updated"))
                .or_else(|| enough(count("numberAvailable"), want, "pods available"))
        }
        "APIService" => unmet(live, "Available"),
        _ => None,
    }
}

/// Why a condition is not `True`; `None` when it is.
pub fn unmet(live: &Value, condition: &str) -> Option<String> {
    let conditions = live["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|found| found["type"] == condition);
    match found {
        None => Some(format!("it does not say whether it is {condition}")),
        Some(found) if found["status"] == "True" => None,
        Some(found) => {
            let words = [&found["message"], &found["reason"]].into_iter().filter_map(Value::as_str);
            let why = words.filter(|words| !words.is_empty()).map(str::to_owned).next();
            Some(why.unwrap_or_else(|| format!("it is not {condition}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(status: Value) -> Value {
        json!({ "metadata": { "generation": 2 }, "spec": { "replicas": 2 }, "status": status })
    }

    #[test]
    fn a_deployment_is_ready_when_its_newest_pods_and_no_others_are_there() {
        let ready =
            json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 });
        assert_eq!(judge("Deployment", &deployment(ready)), None);
        for (status, why) in [
            (
                json!({ "observedGeneration": 1, "updatedReplicas": 2, "availableReplicas": 2 }),
                "not been seen",
            ),
            (
                json!({ "observedGeneration": 2, "updatedReplicas": 1, "availableReplicas": 2 }),
                "1 of 2 replicas updated",
            ),
            (json!({ "observedGeneration": 2, "updatedReplicas": 2 }), "0 of 2 replicas available"),
            (
                json!({ "observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3 }),
                "1 old replicas",
            ),
        ] {
            let said = judge("Deployment", &deployment(status)).unwrap();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_deployment_that_is_scaled_to_nothing_is_ready() {
        let live = json!({ "spec": { "replicas": 0 }, "status": {} });
        assert_eq!(judge("Deployment", &live), None);
    }

    #[test]
    fn a_condition_that_is_not_there_is_not_met() {
        assert!(judge("APIService", &json!({})).is_some());
        let available = json!({ "status": { "conditions": [{ "type": "Available", "status": "True" }] } });
        assert_eq!(judge("APIService", &available), None);
        let refused = json!({ "status": { "conditions": [{ "type": "Available", "status": "False", "message": "no pods" }] } });
        assert_eq!(judge("APIService", &refused).unwrap(), "no pods");
    }

    #[test]
    fn a_webhook_without_a_ca_is_named() {
        let webhook = |ca: &str| json!({ "name": "a.b", "clientConfig": { "service": { "name": "s", "namespace": "n" }, "caBundle": ca } });
        let configuration = json!({ "webhooks": [webhook("Q0E="), webhook("")] });
        assert_eq!(without_ca(&configuration), Some("a.b"));
        assert_eq!(without_ca(&json!({ "webhooks": [webhook("Q0E=")] })), None);
        assert_eq!(services(&configuration), [("n".to_owned(), "s".to_owned())]);
    }

    #[test]
    fn an_endpoint_that_says_nothing_of_itself_is_ready() {
        let slice = |conditions: Value| {
            let slice = json!({
                "addressType": "IPv4", "metadata": {},
                "endpoints": [{ "addresses": ["10.0.0.1"], "conditions": conditions }],
            });
            has_ready_endpoint(&serde_json::from_value(slice).unwrap())
        };
        assert!(slice(json!({})));
        assert!(slice(json!({ "ready": true })));
        assert!(!slice(json!({ "ready": false })));
    }

    #[test]
    fn of_a_manifest_only_what_can_be_judged_is_read() {
        let manifest = "---
# Source: a
apiVersion: v1
kind: ConfigMap
data: {x: '{{ not yaml'}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: server
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: things.example.com
spec: {}
";
        let looked = looked_at(manifest).unwrap();
        assert_eq!(looked.objects.iter().map(title).collect::<Vec<_>>(), ["deployment/server"]);
        assert_eq!(looked.crds, ["things.example.com"]);
    }
}
