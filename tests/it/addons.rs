//! Settings of the add-ons without which a cluster works at first and fails later. Each is a default of its chart that
//! is easily lost with an edit.

use std::{fs, path::Path};

use serde_json::Value;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn yaml(path: &str) -> Value {
    serde_norway::from_str(&read(path)).unwrap()
}

fn values(addon: &str) -> Value {
    yaml(&format!("gitops/addons/{addon}.yaml"))
}

#[test]
fn services_can_be_created_while_the_load_balancer_controller_is_down() {
    // Its webhook for Services has the failure policy Fail.
    assert_eq!(values("aws-load-balancer-controller")["enableServiceMutatorWebhook"], false);
}

#[test]
fn a_pod_without_a_readiness_gate_is_refused_rather_than_created() {
    let values = values("aws-load-balancer-controller");
    assert_eq!(values["podMutatorWebhookConfig"]["failurePolicy"], "Fail");
}

#[test]
fn records_of_a_deleted_ingress_are_deleted_and_those_of_others_are_not() {
    let values = values("external-dns");
    // `upsert-only`, the chart's default, never deletes; without the registry it would delete what others created.
    assert_eq!((&values["policy"], &values["registry"]), (&"sync".into(), &"txt".into()));
}

#[test]
fn argo_cd_signs_its_tokens_at_the_regions_own_sts() {
    let values = values("argo-cd");
    // These two connect to clusters.
    for component in ["controller", "server"] {
        let env = values[component]["env"].as_array().unwrap();
        let regional =
            |one: &Value| one["name"] == "AWS_STS_REGIONAL_ENDPOINTS" && one["value"] == "regional";
        assert!(env.iter().any(regional), "{component}: {env:?}");
    }
}

#[test]
fn objects_too_large_for_an_annotation_can_be_applied() {
    let set = yaml("gitops/argocd/applicationset.yaml");
    let options = &set["spec"]["template"]["spec"]["syncPolicy"]["syncOptions"];
    assert!(options.as_array().unwrap().contains(&"ServerSideApply=true".into()), "{options}");
}

#[test]
fn the_autoscaler_has_a_source_of_metrics() {
    let config: toml::Value = toml::from_str(&read("paydeploy.toml")).unwrap();
    assert!(config["addons"].get("metrics-server").is_some());
}
