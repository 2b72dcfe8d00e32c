//! The AppProjects that Argo CD itself needs: `default`, closed, and the one of the probe.
//!
//! Argo CD creates `default` when it starts, open for every repository, cluster and kind, and puts an Application that
//! names no project into it. It never changes one that exists, so this phase closes it once Argo CD's kinds exist. The
//! application's own project is a manifest in Git (`apps/manifests`).

use serde_json::{Value, json};

use super::NAMESPACE;

/// The project of the probe's Applications.
pub(super) const PROBE: &str = "paydeploy-probe";

/// The projects to apply after each installation.
pub(super) fn all(repository: &str, namespace: &str) -> [Value; 2] {
    let nothing = json!([{ "group": "*", "kind": "*" }]);
    let closed = json!({
        "description": "Closed by paydeploy: every Application names its own project",
        "sourceRepos": [],
        "sourceNamespaces": [],
        "destinations": [],
        "clusterResourceWhitelist": [],
        "namespaceResourceBlacklist": nothing,
    });
    let probe = json!({
        "description": "Checks that Argo CD can list the application's namespace; deploys nothing",
        "sourceRepos": [repository],
        "destinations": [{ "server": "*", "namespace": namespace }],
        "clusterResourceWhitelist": [],
        "namespaceResourceBlacklist": nothing,
    });
    [("default", closed), (PROBE, probe)].map(|(name, spec)| {
        json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AppProject",
            "metadata": { "name": name, "namespace": NAMESPACE },
            "spec": spec,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_project_admits_no_repository_cluster_or_kind() {
        let [default, _] = all("https://git.example/x.git", "pay");
        assert_eq!(default["metadata"]["name"], "default");
        for list in ["sourceRepos", "sourceNamespaces", "destinations", "clusterResourceWhitelist"] {
            assert_eq!(default["spec"][list], json!([]), "{list}");
        }
        assert_eq!(default["spec"]["namespaceResourceBlacklist"], json!([{ "group": "*", "kind": "*" }]));
    }

    #[test]
    fn the_probes_project_reads_one_repository_and_deploys_nothing() {
        let [_, probe] = all("https://git.example/x.git", "pay");
        assert_eq!(probe["metadata"]["name"], PROBE);
        assert_eq!(probe["spec"]["sourceRepos"], json!(["https://git.example/x.git"]));
        assert_eq!(probe["spec"]["destinations"], json!([{ "server": "*", "namespace": "pay" }]));
        assert_eq!(probe["spec"]["namespaceResourceBlacklist"], json!([{ "group": "*", "kind": "*" }]));
    }
}
