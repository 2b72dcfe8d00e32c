//! Network policies. Only their rendering is tested, because the sandbox does not enforce them.

use serde_json::{Value, json};

use super::{Release, list, selects};

fn policy<'a>(release: &'a Release, name: &str) -> &'a Value {
    &release.named("NetworkPolicy", &format!("payment-latency-api-{name}"))["spec"]
}

#[test]
fn traffic_that_no_policy_allows_is_denied() {
    let release = Release::of("spain");
    let refusal = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
    assert_eq!(*policy(&release, "default-deny"), refusal);
    assert_eq!(release.all("NetworkPolicy").len(), 3, "every other policy is tested below");
}

#[test]
fn pods_accept_requests_from_everywhere_and_scrapes_from_monitoring_only() {
    let release = Release::of("spain");
    let policy = policy(&release, "ingress");
    let [serving, migrating] = release.pods();
    assert!(selects(&policy["podSelector"]["matchLabels"], serving));
    assert!(!selects(&policy["podSelector"]["matchLabels"], migrating), "nothing connects to the migration");
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
fn pods_reach_only_name_servers_and_the_database() {
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
fn pods_reach_the_database_at_private_addresses_only() {
    let release = Release::of("spain");
    let database = &policy(&release, "egress")["egress"][1]["to"];
    let block = |cidr: &str| json!({"ipBlock": {"cidr": cidr}});
    assert_eq!(*database, json!([block("10.0.0.0/8"), block("172.16.0.0/12"), block("192.168.0.0/16")]));
}

#[test]
fn policies_exist_unless_they_are_disabled() {
    let release = Release::with("spain", &["networkPolicy.enabled=false"]);
    assert_eq!(release.all("NetworkPolicy").len(), 0);
}
