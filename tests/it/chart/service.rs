//! How clients and Prometheus find the pods.

use serde_json::{Value, json};

use super::{NAME, Release, list, selects};

#[test]
fn the_service_selects_serving_pods_only() {
    let release = Release::of("spain");
    let service = release.the("Service");
    let [serving, migrating] = release.pods();
    assert!(selects(&service["spec"]["selector"], serving));
    assert!(!selects(&service["spec"]["selector"], migrating), "the migration serves no requests");
    assert!(selects(&release.the("Deployment")["spec"]["selector"]["matchLabels"], serving));
    assert_eq!(service["spec"]["type"], "ClusterIP");
    let way = |port: &Value| (port["name"].clone(), port["port"].clone(), port["targetPort"].clone());
    let ways: Vec<_> = list(&service["spec"]["ports"]).iter().map(way).collect();
    assert_eq!(
        ways,
        [(json!("http"), json!(80), json!("http")), (json!("metrics"), json!(9090), json!("metrics"))]
    );
}

#[test]
fn labels_name_the_application_and_the_jurisdiction() {
    let release = Release::with("spain", &["dataResidency=\"EU\""]);
    for pod in release.pods() {
        let labels = &pod["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/name"], NAME);
        assert_eq!(labels["app.kubernetes.io/instance"], NAME);
        assert_eq!(
            (&labels["paydeploy.io/region"], &labels["paydeploy.io/data-residency"]),
            (&json!("spain"), &json!("EU"))
        );
    }
}

#[test]
fn a_service_monitor_exists_only_if_enabled() {
    for region in ["spain", "mexico", "lima"] {
        assert_eq!(Release::of(region).all("ServiceMonitor").len(), 0, "{region}: its kind may not exist");
    }
    let enabled = ["metrics.serviceMonitor={\"enabled\":true,\"labels\":{\"release\":\"prometheus\"}}"];
    let release = Release::with("spain", &enabled);
    let monitor = release.the("ServiceMonitor");
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus", "Prometheus finds it by this");
    assert_eq!(
        monitor["spec"]["endpoints"],
        json!([{"port": "metrics", "path": "/metrics", "interval": "15s"}])
    );
    // A ServiceMonitor selects Services by their labels.
    assert!(selects(&monitor["spec"]["selector"]["matchLabels"], release.the("Service")));
}

#[test]
fn the_service_account_takes_annotations_and_mounts_no_token() {
    let release = Release::with("spain", &["serviceAccount.annotations={\"team\":\"payments\"}"]);
    let account = release.named("ServiceAccount", NAME);
    assert_eq!(account["metadata"]["annotations"], json!({"team": "payments"}));
    for account in release.all("ServiceAccount") {
        assert_eq!(account["automountServiceAccountToken"], false);
    }
}
