//! The add-ons: pinned charts from places that Helm can fetch them from.

use std::{collections::BTreeMap, path::Path};

use url::Url;

use super::Check;
use crate::config::{Addon, raw, text};

/// The add-ons whose IAM role trusts a service account in one namespace.
const BOUND: [&str; 4] = ["aws-load-balancer-controller", "external-secrets", "external-dns", "argo-cd"];

/// External Secrets, and the first version that serves the API version that paydeploy and the chart use: `v1`. With an
/// older one, the first object would be waited for until a timeout.
const EXTERNAL_SECRETS: (&str, (u32, u32)) = ("external-secrets", (0, 16));

/// The add-ons that the application cannot run without.
const REQUIRED: [&str; 3] = ["aws-load-balancer-controller", "external-secrets", "argo-cd"];

impl Check<'_> {
    pub(super) fn addons(&mut self, addons: BTreeMap<String, raw::Addon>) -> BTreeMap<String, Addon> {
        let mut checked = BTreeMap::new();
        for (name, addon) in addons {
            let key = format!("addons.{name}");
            if !text::is_exact(&addon.version) {
                self.problem(
                    &format!("{key}.version"),
                    format!("`{}` is not an exact version", addon.version),
                    "use a version such as `1.2.3`",
                );
            }
            let (external_secrets, least) = EXTERNAL_SECRETS;
            if name == external_secrets && !text::is_at_least(&addon.version, least) {
                self.problem(
                    &format!("{key}.version"),
                    format!("External Secrets {} does not serve `external-secrets.io/v1`", addon.version),
                    "use version 0.16.0 or later",
                );
            }
            let values = addon.values.map(|values| self.path(&format!("{key}.values"), &values, false));
            let chart = self.chart(&format!("{key}.chart"), addon.chart);
            let usual = usual_namespace(&name);
            let namespace = addon.namespace.unwrap_or_else(|| usual.to_owned());
            if BOUND.contains(&name.as_str()) && namespace != usual {
                self.problem(
                    &format!("{key}.namespace"),
                    format!("the add-on's IAM role trusts its service account in `{usual}` only"),
                    "remove the key",
                );
            }
            checked.insert(name, Addon { chart, version: addon.version, values, namespace });
        }
        for name in REQUIRED {
            if !checked.contains_key(name) {
                self.problem(
                    "addons",
                    format!("the add-on `{name}` is missing: the application cannot run without it"),
                    format!("add a table `[addons.{name}]` with `chart` and `version`"),
                );
            }
        }
        checked
    }

    /// A chart as Helm takes it: a path is joined to the configuration's folder.
    fn chart(&mut self, key: &str, given: String) -> String {
        if given.contains("://") {
            if let Some((message, fix)) = bad_chart(&given) {
                self.problem(key, message, fix);
            }
            return given;
        }
        let path = self.root.join(&given).display().to_string();
        if !Path::new(&path).exists() {
            self.problem(
                key,
                format!("no chart `{path}`"),
                "correct the path, or use `https://REPOSITORY#NAME` or `oci://REGISTRY/NAME`",
            );
        }
        path
    }
}

/// Why a chart's URL is refused, and the fix.
fn bad_chart(given: &str) -> Option<(String, String)> {
    // This comes first because the other messages repeat the URL.
    if text::has_login(given) {
        let fix = "remove it; for an `oci://` registry, log in with `helm registry login`";
        return Some(("the URL contains a login, which would appear in logs".to_owned(), fix.to_owned()));
    }
    let url = Url::parse(given).ok().filter(Url::has_host);
    let named = |name: Option<&str>| name.is_some_and(|name| !name.is_empty());
    match url.as_ref().map(|url| (url, url.scheme())) {
        Some((url, "https")) if named(url.fragment()) => None,
        Some((_, "https")) => Some((
            format!("`{given}` is a chart repository without a chart's name"),
            "append `#` and the chart's name".to_owned(),
        )),
        Some((url, "oci")) if named(url.path().strip_prefix('/')) && url.fragment().is_none() => None,
        _ => Some((
            format!("`{given}` is not a chart that Helm can fetch"),
            "use `https://REPOSITORY#NAME`, `oci://REGISTRY/NAME` or a path".to_owned(),
        )),
    }
}

/// The namespace in which an add-on's own documentation installs it.
fn usual_namespace(addon: &str) -> &str {
    match addon {
        "aws-load-balancer-controller" | "metrics-server" | "prometheus-operator-crds" => "kube-system",
        "argo-cd" => "argocd",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::bad_chart;

    #[test]
    fn a_charts_url_names_a_registry_or_a_repository_and_the_chart() {
        for good in ["https://host/charts#argo-cd", "oci://host:5000/charts/argo-cd"] {
            assert_eq!(bad_chart(good), None, "{good}");
        }
        for bad in [
            "https://host/charts",
            "https://ana:s3cret@host/charts#x",
            "https://host/charts#",
            "http://host/charts#x",
            "oci://host",
            "s3://b/x",
        ] {
            assert!(bad_chart(bad).is_some(), "{bad}");
        }
    }
}
