//! The history of all regions' releases: one numbered ConfigMap per release on the hub.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{MANAGER, NAMESPACE};
use crate::{
    kubernetes::{self, classify},
    step::{ErrorExt, Result},
};

const REGION: &str = "paydeploy.io/release-of";
const NUMBER: &str = "paydeploy.io/number";
const OUTCOME: &str = "paydeploy.io/outcome";

/// How a release ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReleaseOutcome {
    Healthy,
    Failed,
}

impl ReleaseOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Failed => "failed",
        }
    }
}

/// An earlier release.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PastRelease {
    number: u32,
    /// `None` while it is being rolled out, or if the rollout was interrupted.
    outcome: Option<ReleaseOutcome>,
    /// Its annotations, without their prefix.
    release: BTreeMap<String, String>,
}

fn past(map: &ConfigMap) -> Option<PastRelease> {
    let outcome = map.annotations().get(OUTCOME).and_then(|outcome| match outcome.as_str() {
        "healthy" => Some(ReleaseOutcome::Healthy),
        "failed" => Some(ReleaseOutcome::Failed),
        _ => None,
    });
    Some(PastRelease {
        number: map.labels().get(NUMBER)?.parse().ok()?,
        outcome,
        release: map.data.clone().unwrap_or_default(),
    })
}

/// A region's releases, the latest first.
async fn list(hub: &Client, region: &str) -> Result<Vec<PastRelease>> {
    let api: Api<ConfigMap> = Api::namespaced(hub.clone(), NAMESPACE);
    let params = ListParams::default().labels(&format!("{REGION}={region}"));
    let found = api.list(&params).await.map_err(classify);
    let found = found.doing(format!("read the releases of region `{region}` on the hub"))?;
    let mut all: Vec<_> = found.items.iter().filter_map(past).collect();
    all.sort_by_key(|past| std::cmp::Reverse(past.number));
    Ok(all)
}

/// Whether any region ever had a healthy release. If so, it may have users.
///
/// # Errors
/// When the hub's cluster cannot be read.
pub async fn any_healthy(hub: &Client) -> Result<bool> {
    let api: Api<ConfigMap> = Api::namespaced(hub.clone(), NAMESPACE);
    let found = api.list(&ListParams::default().labels(REGION)).await.map_err(classify);
    let found = found.doing("read the releases of all regions on the hub")?;
    Ok(found.items.iter().filter_map(past).any(|past| past.outcome == Some(ReleaseOutcome::Healthy)))
}

fn name(region: &str, number: u32) -> String {
    format!("release-{region}-{number}")
}

fn record(region: &str, number: u32, release: &BTreeMap<String, String>) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name(region, number),
            "namespace": NAMESPACE,
            "labels": { REGION: region, NUMBER: number.to_string() },
        },
        "data": release,
    })
}

/// Records a release, unless the latest record is the same release. Returns its number.
pub(super) async fn record_release(
    hub: &Client,
    region: &str,
    release: &BTreeMap<String, String>,
) -> Result<u32> {
    let latest = list(hub, region).await?.into_iter().next();
    let number = match latest {
        Some(latest) if latest.release == *release => return Ok(latest.number),
        Some(latest) => latest.number + 1,
        None => 1,
    };
    kubernetes::apply(hub, MANAGER, &record(region, number, release)).await?;
    Ok(number)
}

/// Records how a release ended.
pub(super) async fn record_outcome(
    hub: &Client,
    region: &str,
    number: u32,
    outcome: ReleaseOutcome,
) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(hub.clone(), NAMESPACE);
    let patch = json!({ "metadata": { "annotations": { OUTCOME: outcome.as_str() } } });
    let recorded = api.patch(&name(region, number), &PatchParams::default(), &Patch::Merge(patch)).await;
    recorded.map_err(classify).doing(format!("record how release {number} of region `{region}` ended"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_release_is_read_back_unchanged() {
        let release = BTreeMap::from([("commit".to_owned(), "c1".to_owned())]);
        let mut map = record("spain", 12, &release);
        map["metadata"]["annotations"] = json!({ OUTCOME: "healthy" });
        let past = past(&serde_json::from_value(map).unwrap()).unwrap();
        assert_eq!((past.number, past.outcome), (12, Some(ReleaseOutcome::Healthy)));
        assert_eq!(past.release, release);
    }

    #[test]
    fn a_configmap_that_is_not_a_release_is_ignored() {
        let map = json!({ "metadata": { "name": "x", "labels": { REGION: "spain" } } });
        assert_eq!(past(&serde_json::from_value(map).unwrap()), None);
    }
}
