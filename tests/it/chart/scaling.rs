//! The number of pods, and how few may remain.

use serde_json::{Value, json};

use super::{Release, list, selects};

#[test]
fn each_region_scales_between_its_own_bounds() {
    for (region, min, max) in [("spain", 3, 15), ("mexico", 2, 10), ("lima", 2, 10)] {
        let release = Release::of(region);
        let scaler = &release.the("HorizontalPodAutoscaler")["spec"];
        assert_eq!(
            (scaler["minReplicas"].as_i64(), scaler["maxReplicas"].as_i64()),
            (Some(min), Some(max)),
            "{region}"
        );
        assert_eq!(
            release.the("Deployment")["spec"].get("replicas"),
            None,
            "only the autoscaler sets replicas"
        );
    }
}

#[test]
fn pods_are_added_at_70_percent_cpu_or_80_percent_memory() {
    let release = Release::of("spain");
    let scaler = &release.the("HorizontalPodAutoscaler")["spec"];
    let name = &release.the("Deployment")["metadata"]["name"];
    assert_eq!(
        scaler["scaleTargetRef"],
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name})
    );
    let target = |metric: &Value| {
        let resource = &metric["resource"];
        (resource["name"].clone(), resource["target"].clone())
    };
    let targets: Vec<_> = list(&scaler["metrics"]).iter().map(target).collect();
    let utilization = |percent: u8| json!({"type": "Utilization", "averageUtilization": percent});
    assert_eq!(targets, [(json!("cpu"), utilization(70)), (json!("memory"), utilization(80))]);
}

#[test]
fn without_an_autoscaler_the_number_of_pods_is_fixed() {
    let release = Release::with("spain", &["autoscaling.enabled=false", "replicaCount=4"]);
    assert_eq!(release.all("HorizontalPodAutoscaler").len(), 0);
    assert_eq!(release.the("Deployment")["spec"]["replicas"], 4);
}

#[test]
fn draining_a_node_leaves_a_serving_pod() {
    for set in [&[][..], &["autoscaling.enabled=false"]] {
        let release = Release::with("mexico", set);
        let budget = &release.the("PodDisruptionBudget")["spec"];
        assert_eq!(budget["minAvailable"], 1, "one of two: with more, no node could be drained");
        assert_eq!(
            budget["unhealthyPodEvictionPolicy"], "AlwaysAllow",
            "a pod that is not ready does not delay a drain"
        );
        let [serving, migrating] = release.pods();
        assert!(selects(&budget["selector"]["matchLabels"], serving));
        assert!(!selects(&budget["selector"]["matchLabels"], migrating));
    }
}
