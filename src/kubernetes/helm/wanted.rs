//! The configured state of a release.

use serde_json::Value;

use super::merge;
use crate::{
    config::Addon,
    task::{ErrorExt, Result},
};

/// A release as configured.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub release: String,
    pub namespace: String,
    /// `oci://REGISTRY/NAME`, `https://REPOSITORY#NAME`, or a path.
    pub chart: String,
    pub version: String,
    pub values: Value,
}

impl Wanted {
    /// An add-on's chart, with the values that come from facts merged over those in its file.
    pub fn new(release: &str, addon: &Addon, facts: Value) -> Result<Self> {
        let base = match &addon.values {
            None => Value::Object(serde_json::Map::new()),
            Some(path) => {
                let doing = || format!("read the values `{}`", path.display());
                let text = std::fs::read_to_string(path).doing(doing())?;
                serde_norway::from_str(&text).doing(doing())?
            }
        };
        Ok(Self {
            release: release.to_owned(),
            namespace: addon.namespace.clone(),
            chart: addon.chart.clone(),
            version: addon.version.clone(),
            values: merge(base, facts),
        })
    }

    /// The chart's name in its repository or registry.
    pub fn chart_name(&self) -> &str {
        self.chart.rsplit(['/', '#']).next().unwrap_or(&self.chart)
    }

    /// The chart as arguments for Helm.
    pub(super) fn chart_args(&self) -> Vec<&str> {
        match self.chart.split_once('#') {
            Some((repository, name)) => vec![name, "--repo", repository],
            None => vec![&self.chart],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(chart: &str) -> Wanted {
        Wanted {
            release: "x".to_owned(),
            namespace: "x".to_owned(),
            chart: chart.to_owned(),
            version: "1".to_owned(),
            values: Value::Null,
        }
    }

    #[test]
    fn a_chart_is_in_a_registry_a_repository_or_a_folder() {
        for (given, args, name) in [
            ("oci://host/charts/argo-cd", vec!["oci://host/charts/argo-cd"], "argo-cd"),
            ("charts/mine", vec!["charts/mine"], "mine"),
            ("https://host/charts#argo-cd", vec!["argo-cd", "--repo", "https://host/charts"], "argo-cd"),
        ] {
            assert_eq!(chart(given).chart_args(), args);
            assert_eq!(chart(given).chart_name(), name);
        }
    }
}
