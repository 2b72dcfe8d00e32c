//! Who may talk to whom. Rendered only: no enforcer of network policies runs on the sandbox.

use serde_json::{Value, json};

use super::{Release, list, selects};

fn policy<'a>(release: &'a Release, name: &str) -> &'a Value {
    &release.named("NetworkPolicy", &format!("payment-latency-api-{name}"))["spec"]
}

#[test]
fn what_no_policy_allows_is_refused() {
    let release = Release::of("spain");
    let refusal = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
    assert_eq!(*policy(&release, "default-deny"), refusal);
    assert_eq!(release.all("NetworkPolicy").len(), 3, "each allows something, and is looked at below");
}

#[test]
fn pods_are_reached_at_their_serving_port_and_their_metrics_by_monitoring_alone() {
    let release = Release::of("spain");
    let policy = policy(&release, "ingress");
    let [serving, migrating] = release.pods();
    assert!(selects(&policy["podSelector"]["matchLabels"], serving));
    assert!(!selects(&policy["podSelector"]["matchLabels"], migrating), "nothing talks to the migration");
    assert_eq!(policy["policyTypes"], json!(["Ingress"]));
    let monitoring =
        json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}});
    assert_eq!(
        policy["ingress"],
        json!([
            {"ports": [{"port": "http", "protocol": "TCP"}]},
            {"from": [monitoring], "ports": [{"port": "metrics", "protocol": "TCP"}]},
        ])
    );
}

#[test]
fn pods_reach_name_servers_and_the_database_and_no_more() {
    let release = Release::with("spain", &["networkPolicy.databaseCidrs=[\"10.10.0.0/16\"]"]);
    let policy = policy(&release, "egress");
    for pod in release.pods() {
        assert!(selects(&policy["podSelector"]["matchLabels"], pod));
    }
    assert_eq!(policy["policyTypes"], json!(["Egress"]));
    let [names, database] = list(&policy["egress"]) else { panic!("{policy}") };
    assert_eq!(
        names["to"],
        json!([{
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }])
    );
    assert_eq!(names["ports"], json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]));
    assert_eq!(
        *database,
        json!({
            "to": [{"ipBlock": {"cidr": "10.10.0.0/16"}}],
            "ports": [{"port": 5432, "protocol": "TCP"}],
        })
    );
}

#[test]
fn the_database_is_looked_for_at_private_addresses_only() {
    let release = Release::of("spain");
    let database = &policy(&release, "egress")["egress"][1]["to"];
    let block = |cidr: &str| json!({"ipBlock": {"cidr": cidr}});
    assert_eq!(*database, json!([block("10.0.0.0/8"), block("172.16.0.0/12"), block("192.168.0.0/16")]));
}

#[test]
fn policies_are_there_unless_they_are_turned_off() {
    let release = Release::with("spain", &["networkPolicy.enabled=false"]);
    assert_eq!(release.all("NetworkPolicy").len(), 0);
}
