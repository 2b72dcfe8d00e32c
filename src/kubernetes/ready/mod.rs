//! Whether a release's objects are ready: judged by their status in the cluster, never by elapsed time.
//!
//! 1. The release's manifest is scanned for kinds that have a readiness status; all others are skipped
//!    unparsed.
//! 2. Each of those objects is read from the cluster and judged by its own status ([`judge`]).
//! 3. Custom resource definitions count as ready when the API server serves their kinds.
//! 4. A webhook configuration is ready when it has a CA and its service has a ready endpoint. Without that
//!    check, the next object that is applied would fail in the webhook.

mod judge;

use futures::future::join_all;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams},
};
use serde_json::Value;

use self::judge::{has_ready_endpoint, selector, services, without_ca};
pub use self::judge::{judge, unmet};
use super::{classify, kind, title};
use crate::task::{ErrorExt, Result};

/// Something that is missing or not ready, and the pods whose state may explain it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady {
    pub what: String,
    /// Namespace and label selector.
    pub pods: Option<(String, String)>,
}

impl NotReady {
    fn new(what: String) -> Self {
        Self { what, pods: None }
    }
}

/// All of it in one line.
pub fn summary(unready: &[NotReady]) -> String {
    unready.iter().map(|one| one.what.as_str()).collect::<Vec<_>>().join(", ")
}

/// What is not ready among the objects of a rendered manifest. Objects without a namespace are in
/// `namespace`.
pub async fn unready(client: &Client, manifest: &str, namespace: &str) -> Result<Vec<NotReady>> {
    let Judged { objects, crds } = judged(manifest)?;
    let each = objects.iter().map(|object| one(client, object, namespace));
    let (unserved, found) = futures::join!(unserved(client, crds), join_all(each));
    let mut unready = unserved?;
    for found in found {
        unready.extend(found?);
    }
    Ok(unready)
}

/// The kinds whose readiness is judged, with their groups and whether they are namespaced. All are served as
/// `v1`.
const JUDGED: [(&str, &str, bool); 6] = [
    ("Deployment", "apps", true),
    ("StatefulSet", "apps", true),
    ("DaemonSet", "apps", true),
    ("APIService", "apiregistration.k8s.io", false),
    ("MutatingWebhookConfiguration", "admissionregistration.k8s.io", false),
    ("ValidatingWebhookConfiguration", "admissionregistration.k8s.io", false),
];

/// The part of a manifest that is judged.
#[derive(Debug, Default)]
struct Judged {
    objects: Vec<Value>,
    /// CustomResourceDefinitions, by name only: their schemas take megabytes, in the manifest and in the API
    /// server's response.
    crds: Vec<String>,
}

/// The objects of a manifest whose readiness is judged.
///
/// The kind is found by its line, not by a YAML parser, which would read megabytes of CRD schemas only to
/// discard them. Helm prints top-level keys without indentation.
fn judged(manifest: &str) -> Result<Judged> {
    let mut found = Judged::default();
    for document in manifest.split("\n---") {
        let kind = document.lines().find_map(|line| line.strip_prefix("kind:")).unwrap_or_default().trim();
        if kind == "CustomResourceDefinition" {
            let name = document.lines().find_map(|line| line.strip_prefix("  name: "));
            found.crds.extend(name.map(|name| name.trim().trim_matches(['"', '\'']).to_owned()));
        } else if JUDGED.iter().any(|(judged, ..)| *judged == kind) {
            let document = document.strip_prefix("---").unwrap_or(document);
            found.objects.push(serde_norway::from_str(document).doing("parse a release's manifest")?);
        }
    }
    Ok(found)
}

/// The CustomResourceDefinitions whose kinds the API server does not serve. One aggregated discovery call
/// covers all of them, and returns what clients see.
async fn unserved(client: &Client, crds: Vec<String>) -> Result<Vec<NotReady>> {
    if crds.is_empty() {
        return Ok(Vec::new());
    }
    let served = client.list_api_groups_aggregated().await.map_err(classify);
    let served = served.doing("list the kinds that the API server serves")?;
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
    let unserved = crds.iter().filter(|crd| !is_served(crd));
    Ok(unserved.map(|crd| NotReady::new(format!("{crd} is not served"))).collect())
}

async fn one(client: &Client, object: &Value, namespace: &str) -> Result<Option<NotReady>> {
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
    let found = api.get_opt(name).await.map_err(classify).doing(format!("read `{what}`"))?;
    let Some(live) = found else { return Ok(Some(NotReady::new(format!("{what} is missing")))) };
    let live = serde_json::to_value(live)?;
    if kind_name.ends_with("WebhookConfiguration") {
        return webhooks(client, &live, &what).await;
    }
    Ok(judge(kind_name, &live).map(|why| NotReady {
        what: format!("{what}: {why}"),
        pods: selector(&live).map(|selector| (namespace.to_owned(), selector)),
    }))
}

async fn webhooks(client: &Client, live: &Value, what: &str) -> Result<Option<NotReady>> {
    if let Some(webhook) = without_ca(live) {
        return Ok(Some(NotReady::new(format!("{what}: webhook {webhook} has no caBundle"))));
    }
    for (namespace, service) in services(live) {
        if !answered(client, &namespace, &service).await? {
            return Ok(Some(NotReady::new(format!("{what}: service {service} has no ready endpoint"))));
        }
    }
    Ok(None)
}

/// Whether a service has a ready endpoint.
pub async fn answered(client: &Client, namespace: &str, service: &str) -> Result<bool> {
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let params = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    let slices = api.list(&params).await.map_err(classify);
    let slices = slices.doing(format!("list the endpoints of service `{service}`"))?;
    Ok(slices.items.iter().any(has_ready_endpoint))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::kubernetes::testing::Server;

    /// The objects of an API server, by the path of their URL.
    type Objects = BTreeMap<&'static str, Value>;

    const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/external-secrets/deployments/webhook";
    const VALIDATION: &str =
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/secretstore-validate";
    const ENDPOINTS: &str = "/apis/discovery.k8s.io/v1/namespaces/external-secrets/endpointslices";

    /// External Secrets, as it is once it is ready.
    fn external_secrets() -> Objects {
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "webhook", "namespace": "external-secrets", "generation": 1 },
            "spec": { "replicas": 1, "selector": { "matchLabels": { "app": "webhook" } } },
            "status": { "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1 },
        });
        let validation = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": "secretstore-validate" },
            "webhooks": [{
                "name": "validate.clustersecretstore",
                "clientConfig": {
                    "service": { "name": "webhook", "namespace": "external-secrets" },
                    "caBundle": "Q0E=",
                },
            }],
        });
        let endpoints = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSliceList", "metadata": {},
            "items": [{
                "metadata": { "name": "webhook-x" },
                "addressType": "IPv4",
                "endpoints": [{ "addresses": ["10.0.0.1"], "conditions": { "ready": true } }],
            }],
        });
        let kinds = json!({
            "apiVersion": "apidiscovery.k8s.io/v2", "kind": "APIGroupDiscoveryList", "metadata": {},
            "items": [{
                "metadata": { "name": "external-secrets.io" },
                "versions": [{ "version": "v1", "resources": [{ "resource": "clustersecretstores" }] }],
            }],
        });
        [(DEPLOYMENT, deployment), (VALIDATION, validation), (ENDPOINTS, endpoints), ("/apis", kinds)].into()
    }

    const MANIFEST: &str = "---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: webhook
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata:
  name: secretstore-validate
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: clustersecretstores.external-secrets.io
";

    async fn missing_in(objects: Objects) -> String {
        let client = Server::with(objects).await.client();
        summary(&unready(&client, MANIFEST, "external-secrets").await.unwrap())
    }

    #[tokio::test]
    async fn a_release_whose_webhook_can_answer_is_ready() {
        assert_eq!(missing_in(external_secrets()).await, "");
    }

    #[tokio::test]
    async fn a_release_whose_webhook_cannot_answer_is_not_ready_and_says_why() {
        let without = |path: &str, pointer: &str, value: Value| {
            let mut objects = external_secrets();
            *objects.get_mut(path).unwrap().pointer_mut(pointer).unwrap() = value;
            objects
        };
        for (objects, why) in [
            (
                without(DEPLOYMENT, "/status/availableReplicas", json!(0)),
                "deployment/webhook: 0 of 1 replicas available",
            ),
            (
                without(VALIDATION, "/webhooks/0/clientConfig/caBundle", json!("")),
                "validatingwebhookconfiguration/secretstore-validate: webhook validate.clustersecretstore has no caBundle",
            ),
            (
                without(ENDPOINTS, "/items/0/endpoints/0/conditions/ready", json!(false)),
                "validatingwebhookconfiguration/secretstore-validate: service webhook has no ready endpoint",
            ),
            (
                without(ENDPOINTS, "/items", json!([])),
                "validatingwebhookconfiguration/secretstore-validate: service webhook has no ready endpoint",
            ),
            (
                without("/apis", "/items/0/versions/0/resources", json!([])),
                "clustersecretstores.external-secrets.io is not served",
            ),
        ] {
            assert_eq!(missing_in(objects).await, why);
        }
    }

    #[tokio::test]
    async fn an_object_of_a_release_that_does_not_exist_is_named() {
        let mut objects = external_secrets();
        objects.remove(VALIDATION);
        assert_eq!(
            missing_in(objects).await,
            "validatingwebhookconfiguration/secretstore-validate is missing"
        );
    }

    #[test]
    fn only_the_judged_kinds_of_a_manifest_are_parsed() {
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
        let judged = judged(manifest).unwrap();
        assert_eq!(judged.objects.iter().map(title).collect::<Vec<_>>(), ["deployment/server"]);
        assert_eq!(judged.crds, ["things.example.com"]);
    }
}
