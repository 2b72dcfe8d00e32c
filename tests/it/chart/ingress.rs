//! The Ingress: which routes are public, and how they are reached.

use serde_json::json;

use super::{NAME, Release, list, text};

const PREFIX: &str = "alb.ingress.kubernetes.io";

#[test]
fn only_public_routes_are_on_the_load_balancer() {
    let release = Release::of("spain");
    let rules = list(&release.the("Ingress")["spec"]["rules"]);
    assert_eq!(rules.len(), 1);
    let paths = list(&rules[0]["http"]["paths"]);
    let mut names: Vec<&str> = paths.iter().map(|path| text(&path["path"])).collect();
    names.sort_unstable();
    assert_eq!(names, ["/api", "/health", "/info", "/v1"]);
    let service = json!({"service": {"name": NAME, "port": {"name": "http"}}});
    assert!(paths.iter().all(|path| path["backend"] == service), "{rules:?}");
}

#[test]
fn the_load_balancer_serves_the_regions_domain_over_tls() {
    let release = Release::of("spain");
    let ingress = release.the("Ingress");
    let domain = "api-es.payments.example";
    assert_eq!(ingress["spec"]["ingressClassName"], "alb");
    assert_eq!(ingress["spec"]["rules"][0]["host"], domain);
    assert_eq!(ingress["spec"]["tls"], json!([{"hosts": [domain]}]));
    let annotation = |name: &str| text(&ingress["metadata"]["annotations"][format!("{PREFIX}/{name}")]);
    assert_eq!((annotation("scheme"), annotation("target-type")), ("internet-facing", "ip"));
    assert_eq!(annotation("listen-ports"), r#"[{"HTTP":80},{"HTTPS":443}]"#, "port 80 only redirects to 443");
    assert_eq!(annotation("ssl-redirect"), "443");
    assert_eq!(annotation("ssl-policy"), "ELBSecurityPolicy-TLS13-1-2-2021-06", "TLS 1.2 at least");
    assert!(annotation("certificate-arn").starts_with("arn:aws:acm:eu-south-2:"));
}

#[test]
fn the_load_balancer_probes_the_readiness_of_pods() {
    let release = Release::of("spain");
    let annotations = &release.the("Ingress")["metadata"]["annotations"];
    let annotation = |name: &str| text(&annotations[format!("{PREFIX}/{name}")]);
    assert_eq!(
        (annotation("healthcheck-path"), annotation("healthcheck-port"), annotation("success-codes")),
        ("/readyz", "traffic-port", "200")
    );
}

#[test]
fn additional_annotations_are_set_on_the_ingress() {
    let set = ["ingress.annotations={\"alb.ingress.kubernetes.io/wafv2-acl-arn\":\"arn:aws:wafv2:1\"}"];
    let release = Release::with("spain", &set);
    assert_eq!(
        release.the("Ingress")["metadata"]["annotations"][format!("{PREFIX}/wafv2-acl-arn")],
        "arn:aws:wafv2:1"
    );
}
