//! What Helm makes of the application's chart.

use std::process::{Command, Output};

use serde_json::Value;

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/payment-latency-api");

fn render(region: &str, set: &[&str]) -> Output {
    let mut helm = Command::new("helm");
    helm.args(["template", "payment-latency-api", CHART, "--namespace", "payment-api"]);
    helm.arg("--values").arg(format!("{CHART}/ci/release-values.yaml"));
    let own = format!("{CHART}/values-{region}.yaml");
    if std::path::Path::new(&own).exists() {
        helm.arg("--values").arg(own);
    }
    for set in set {
        helm.arg("--set-json").arg(set);
    }
    helm.output().expect("tests/setup has put helm on PATH")
}

fn manifests(region: &str) -> Vec<Value> {
    let output = render(region, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let documents = text.split("\n---").map(|document| document.trim_start_matches("---"));
    documents
        .filter_map(|document| serde_norway::from_str::<Value>(document).ok())
        .filter(Value::is_object)
        .collect()
}

fn of_kind<'a>(manifests: &'a [Value], kind: &str) -> &'a Value {
    manifests.iter().find(|manifest| manifest["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

#[test]
fn each_region_scales_between_its_own_bounds() {
    for (region, min, max) in [("spain", 3, 15), ("mexico", 2, 10), ("lima", 2, 10)] {
        let manifests = manifests(region);
        let scaler = &of_kind(&manifests, "HorizontalPodAutoscaler")["spec"];
        assert_eq!(
            (scaler["minReplicas"].as_i64(), scaler["maxReplicas"].as_i64()),
            (Some(min), Some(max)),
            "{region}"
        );
        assert!(
            of_kind(&manifests, "Deployment")["spec"].get("replicas").is_none(),
            "the scaler alone sets replicas"
        );
        of_kind(&manifests, "PodDisruptionBudget");
    }
}

#[test]
fn pods_run_a_digest_as_nobody_on_a_read_only_disk() {
    let manifests = manifests("spain");
    let pod = &of_kind(&manifests, "Deployment")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert!(container["image"].as_str().unwrap().contains("@sha256:"), "{container}");
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(pod["securityContext"]["runAsUser"], 65534);
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert!(container["env"].to_string().find("API_SECRET_KEY").is_none(), "secrets come as files");
}

#[test]
fn only_the_public_routes_are_on_the_load_balancer() {
    let manifests = manifests("spain");
    let paths = &of_kind(&manifests, "Ingress")["spec"]["rules"][0]["http"]["paths"];
    let mut names: Vec<&str> =
        paths.as_array().unwrap().iter().map(|path| path["path"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["/api", "/health", "/info"]);
}

#[test]
fn everything_lives_in_the_namespace() {
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
    for manifest in manifests("mexico") {
        let kind = manifest["kind"].as_str().unwrap();
        assert!(namespaced.contains(&kind), "{kind}: Argo CD has rights in one namespace only");
    }
}

#[test]
fn values_that_would_weaken_a_release_are_refused() {
    for bad in [
        "image.digest=\"latest\"",
        "autoscaling.minReplicas=1",
        "ingress.sslPolicy=\"ELBSecurityPolicy-2016-08\"",
        "ingress.paths=[\"/\"]",
        "colour=\"red\"",
        "ingress.host=\"\"",
    ] {
        assert!(!render("spain", &[bad]).status.success(), "{bad} must not render");
    }
}
