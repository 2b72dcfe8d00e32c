//! The application's chart as rendered by Helm. One file per subject.

mod ingress;
mod migration;
mod network;
mod pods;
mod scaling;
mod secrets;
mod service;

use std::process::{Command, Output};

use serde::Deserialize as _;
use serde_json::Value;

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/payment-latency-api");
const NAME: &str = "payment-latency-api";
const MIGRATION: &str = "payment-latency-api-migrate";

/// Renders the chart with the values of a release and the region. `set` are further values for `--set-json`.
fn helm(region: &str, set: &[&str]) -> Output {
    let mut helm = Command::new("helm");
    helm.args(["template", NAME, CHART, "--namespace", "payment-api"]);
    helm.arg("--values").arg(format!("{CHART}/ci/release-values.yaml"));
    let own = format!("{CHART}/values-{region}.yaml");
    if std::path::Path::new(&own).exists() {
        helm.arg("--values").arg(own);
    }
    for set in set {
        helm.arg("--set-json").arg(set);
    }
    helm.output().expect("tests/setup installs helm")
}

fn is_rejected(set: &str) -> bool {
    !helm("spain", &[set]).status.success()
}

/// The objects of a release.
struct Release(Vec<Value>);

impl Release {
    fn of(region: &str) -> Self {
        Self::with(region, &[])
    }

    fn with(region: &str, set: &[&str]) -> Self {
        let output = helm(region, set);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let documents = serde_norway::Deserializer::from_str(&text);
        Self(
            documents
                .map(|document| Value::deserialize(document).unwrap())
                .filter(Value::is_object)
                .collect(),
        )
    }

    fn all(&self, kind: &str) -> Vec<&Value> {
        self.0.iter().filter(|object| object["kind"] == kind).collect()
    }

    /// The only object of a kind.
    fn the(&self, kind: &str) -> &Value {
        let all = self.all(kind);
        assert_eq!(all.len(), 1, "objects of kind {kind}");
        all[0]
    }

    fn named(&self, kind: &str, name: &str) -> &Value {
        let found = self.all(kind).into_iter().find(|object| object["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} {name}"))
    }

    /// The pod templates: the serving one and the migrating one.
    fn pods(&self) -> [&Value; 2] {
        ["Deployment", "Job"].map(|kind| &self.the(kind)["spec"]["template"])
    }
}

fn container(pod: &Value) -> &Value {
    let containers = pod["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1, "{pod}");
    &containers[0]
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a string"))
}

/// Whether the pod has all labels of a selector.
fn selects(selector: &Value, pod: &Value) -> bool {
    let wanted = selector.as_object().unwrap_or_else(|| panic!("{selector} is not a selector"));
    assert!(!wanted.is_empty(), "an empty selector matches every pod");
    wanted.iter().all(|(label, value)| pod["metadata"]["labels"][label] == *value)
}

#[test]
fn every_object_is_in_the_namespace() {
    let namespaced = [
        "ConfigMap",
        "Deployment",
        "ExternalSecret",
        "HorizontalPodAutoscaler",
        "Ingress",
        "Job",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
    ];
    for object in Release::of("mexico").0 {
        let kind = text(&object["kind"]);
        assert!(namespaced.contains(&kind), "{kind}: Argo CD has rights in one namespace only");
        assert_eq!(object["metadata"].get("namespace"), None, "{kind}: the release says which namespace");
    }
}

#[test]
fn values_that_would_weaken_a_release_are_rejected() {
    for bad in [
        "image.digest=\"latest\"",
        "autoscaling.minReplicas=1",
        "replicaCount=1",
        "resources.limits={\"memory\":null}",
        "ingress.sslPolicy=\"ELBSecurityPolicy-2016-08\"",
        "ingress.paths=[{\"path\":\"/\",\"pathType\":\"Prefix\"}]",
        "ingress.paths=[{\"path\":\"/metrics\",\"pathType\":\"Exact\"}]",
        "colour=\"red\"",
        "ingress.host=\"\"",
        "secrets.api=\"the-key-itself\"",
    ] {
        assert!(is_rejected(bad), "{bad} must not render");
    }
}
