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

/// How many releases of a region are kept, as many as Helm keeps revisions and a Deployment ReplicaSets. Each push may be
/// a release, and an unbounded list would slow down every read of it.
const KEPT: usize = 10;
/// How many healthy releases are kept whatever came after them: the one that runs, and the one before it.
const HEALTHY_KEPT: usize = 2;

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

/// Deletes the oldest records of a region, so that their number stays bounded.
pub(super) async fn prune(hub: &Client, region: &str) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(hub.clone(), NAMESPACE);
    for number in expired(&list(hub, region).await?) {
        kubernetes::delete(&api, &name(region, number)).await?;
    }
    Ok(())
}

/// The records to delete, of all records with the latest first.
fn expired(all: &[PastRelease]) -> Vec<u32> {
    let healthy = all.iter().filter(|past| past.outcome == Some(ReleaseOutcome::Healthy));
    let kept: Vec<u32> = healthy.take(HEALTHY_KEPT).map(|past| past.number).collect();
    all.iter().skip(KEPT).map(|past| past.number).filter(|number| !kept.contains(number)).collect()
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
    use crate::kubernetes::testing::Server;

    #[test]
    fn a_recorded_release_is_read_back_unchanged() {
        let release = BTreeMap::from([("commit".to_owned(), "c1".to_owned())]);
        let mut map = record("spain", 12, &release);
        map["metadata"]["annotations"] = json!({ OUTCOME: "healthy" });
        let past = past(&serde_json::from_value(map).unwrap()).unwrap();
        assert_eq!((past.number, past.outcome), (12, Some(ReleaseOutcome::Healthy)));
        assert_eq!(past.release, release);
    }

    /// As many releases with these outcomes, the latest first.
    fn releases(outcomes: impl IntoIterator<Item = ReleaseOutcome>) -> Vec<PastRelease> {
        let outcomes: Vec<_> = outcomes.into_iter().collect();
        let numbers = (1..=u32::try_from(outcomes.len()).unwrap()).rev();
        let one =
            |(number, outcome)| PastRelease { number, outcome: Some(outcome), release: BTreeMap::new() };
        numbers.zip(outcomes).map(one).collect()
    }

    #[test]
    fn only_the_newest_releases_are_kept() {
        assert_eq!(expired(&releases([ReleaseOutcome::Healthy; 10])), Vec::<u32>::new());
        assert_eq!(expired(&releases([ReleaseOutcome::Healthy; 12])), [2, 1]);
    }

    #[test]
    fn the_running_release_and_the_one_before_it_are_kept_after_any_number_of_failures() {
        let failures = std::iter::repeat_n(ReleaseOutcome::Failed, 20);
        let all = releases(failures.chain([ReleaseOutcome::Healthy; 3]));
        let expired = expired(&all);
        assert_eq!((expired.first(), expired.last()), (Some(&13), Some(&1)));
        assert!(!expired.contains(&3) && !expired.contains(&2), "{expired:?}");
    }

    #[tokio::test]
    async fn a_region_that_releases_often_has_a_bounded_number_of_records() {
        let map = |number: u32| record("spain", number, &BTreeMap::new());
        let maps: Vec<Value> = (1..=11).map(map).collect();
        let path = "/api/v1/namespaces/argocd/configmaps";
        let hub = Server::with([(path, json!({ "metadata": {}, "items": maps }))]).await;
        prune(&hub.client(), "spain").await.unwrap();
        assert_eq!(hub.asked(), [format!("GET {path}"), format!("DELETE {path}/release-spain-1")]);
    }

    #[test]
    fn a_configmap_that_is_not_a_release_is_ignored() {
        let map = json!({ "metadata": { "name": "x", "labels": { REGION: "spain" } } });
        assert_eq!(past(&serde_json::from_value(map).unwrap()), None);
    }
}
