//! The step that releases the application in a region.

use std::{path::PathBuf, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};

use super::{
    MANAGER, NAMESPACE,
    annotations::{self, Annotations, Constant, LABEL, PREFIX},
    application::Application,
    endpoint::Endpoint,
    history::{self, ReleaseOutcome},
    input::ReleaseInput,
    sync::Sync,
    sync_state::{self, SyncState, Wanted},
    teardown::Teardown,
    workload::{self, Count},
};
use crate::{
    config::{Config, Region},
    fact,
    kubernetes::{self, classify},
    step::{Check, Class, Context, ErrorExt, Phase, Poll, Result, Seen, Step, StepId},
};

/// The application in a region.
///
/// A release consists of annotations of the region's cluster Secret on the hub, which only this step writes, and of
/// the label by which the ApplicationSet selects the region. The first release applies the annotations before the
/// label. Later ones apply both together: an apply without the label would remove it, and so the Application.
pub struct Release {
    region: Region,
    constant: Constant,
    var_file: PathBuf,
    /// The Application's name.
    name: String,
    /// Whether external-dns maintains the region's record.
    has_dns: bool,
    teardown: Teardown,
}

/// The step that releases the application in a region.
pub fn release(config: &Config, region: &Region) -> Release {
    Release {
        region: region.clone(),
        constant: Constant::new(config, region),
        var_file: region.var_file.clone(),
        name: config.name_in(&region.name),
        has_dns: config.addons.contains_key("external-dns"),
        teardown: Teardown::new(config, region),
    }
}

/// The difference between the live release and the wanted one.
pub struct ReleaseChange {
    hub: Client,
    /// The region's cluster.
    cluster: Client,
    /// The release that the region runs; `None` before its first release.
    current: Option<Annotations>,
    wanted: Annotations,
    /// The problems of the current release.
    troubles: Vec<String>,
    count: Count,
}

impl ReleaseChange {
    fn lines(&self) -> Vec<String> {
        let Some(current) = &self.current else {
            let short =
                |key: &str| self.wanted.get(key).map(|text| annotations::short(text)).unwrap_or_default();
            return vec![format!("first release: commit {}, image {}", short("commit"), short("digest"))];
        };
        [annotations::changes(current, &self.wanted), self.troubles.clone()].concat()
    }

    fn pods(&self) -> String {
        format!("{}/{} pods", self.count.ready, self.count.pods)
    }
}

impl Release {
    async fn compare(&self, cx: &Context, input: &ReleaseInput) -> Result<ReleaseChange> {
        let ReleaseInput { access, hub_access, registered, foundation, .. } = input;
        let aws = &cx.world.aws;
        let hub = kubernetes::connect(aws, hub_access).await?;
        let cluster = kubernetes::connect(aws, access).await?;
        let data_residency = annotations::data_residency(&self.var_file)?;
        let constant = Constant { data_residency, ..self.constant.clone() };
        let wanted = annotations::annotations(&constant, input);
        let current = released(&hub, &registered.secret).await?;
        let mut change =
            ReleaseChange { hub, cluster, current, wanted, troubles: Vec::new(), count: Count::default() };
        if let Some(current) = change.current.clone() {
            self.judge(cx, foundation, &mut change, &current).await?;
        }
        Ok(change)
    }

    /// Checks the health of the current release, whether or not it is the wanted one.
    async fn judge(
        &self,
        cx: &Context,
        foundation: &fact::Foundation,
        change: &mut ReleaseChange,
        current: &Annotations,
    ) -> Result<()> {
        let text = |key: &str| current.get(key).map_or("", String::as_str);
        let Some(application) = Application::new(&change.hub, &self.name).read().await? else {
            change.troubles.push(format!("Application `{}` is missing", self.name));
            return Ok(());
        };
        let wanted = Wanted { commit: text("commit"), digest: text("digest") };
        match sync_state::judge(&application, wanted) {
            SyncState::Healthy => {}
            SyncState::Occupied => change.troubles.push("waiting for the sync of another release".to_owned()),
            SyncState::Progressing(why)
            | SyncState::Settling(why)
            | SyncState::Degraded(why)
            | SyncState::Broken(why) => change.troubles.push(why),
            SyncState::Failed { why, .. } => change.troubles.push(format!("sync failed: {why}")),
        }
        change.count = workload::count(&change.cluster, &application, wanted.digest).await?;
        change.troubles.extend(change.count.missing.iter().cloned());
        change.troubles.extend(workload::secrets(&change.cluster, &application).await?);
        if change.troubles.is_empty()
            && let Poll::Pending(why) =
                self.endpoint(cx, &change.cluster, foundation).poll(&application).await?
        {
            change.troubles.push(why);
        }
        Ok(())
    }

    fn endpoint<'a>(
        &'a self,
        cx: &'a Context,
        cluster: &'a Client,
        foundation: &'a fact::Foundation,
    ) -> Endpoint<'a> {
        Endpoint {
            aws: &cx.world.aws,
            aws_region: &self.region.aws_region,
            cluster,
            host: &foundation.app_domain,
            zone: self.has_dns.then_some(&foundation.hosted_zone_id),
        }
    }
}

/// The release in a cluster Secret; `None` if the ApplicationSet does not select it.
async fn released(hub: &Client, secret: &str) -> Result<Option<Annotations>> {
    let api: Api<Secret> = Api::namespaced(hub.clone(), NAMESPACE);
    let found = api.get_metadata_opt(secret).await.map_err(classify);
    let found = found.doing(format!("read the release in Secret `{secret}` on the hub"))?;
    let Some(found) = found.filter(|found| found.labels().contains_key(LABEL)) else { return Ok(None) };
    // `listed` has our prefix, but belongs to the registration.
    let ours = |(key, value): (&String, &String)| {
        let key = key.strip_prefix(PREFIX).filter(|key| *key != "listed")?;
        Some((key.to_owned(), value.clone()))
    };
    Ok(Some(found.annotations().iter().filter_map(ours).collect()))
}

impl Step for Release {
    type Input = ReleaseInput;
    type Fact = fact::Release;
    type Change = ReleaseChange;

    fn id(&self) -> StepId {
        StepId::of(Phase::Apps, &self.region.name)
    }

    fn estimate(&self) -> Duration {
        Duration::from_mins(2)
    }

    async fn read(&self, cx: &Context, input: &Self::Input) -> Result<Seen<Self::Fact>> {
        let found = self.compare(cx, input).await?;
        let Some(current) = &found.current else { return Ok(Seen::missing("not released")) };
        let text = |key: &str| current.get(key).cloned().unwrap_or_default();
        let fact = fact::Release {
            commit: text("commit"),
            digest: fact::ImageDigest(text("digest")),
            url: format!("https://{}", text("domain")),
            ready_pods: found.count.ready,
            pods: found.count.pods,
        };
        let lines = found.lines();
        Ok(if lines.is_empty() {
            Seen::ok(fact, found.pods())
        } else {
            Seen::differs(fact, format!("{}: {}", found.pods(), lines.join(", ")))
        })
    }

    async fn check(&self, cx: &Context, input: &Self::Input) -> Result<Check<ReleaseChange>> {
        let found = self.compare(cx, input).await?;
        let lines = found.lines();
        Ok(if lines.is_empty() { Check::Clean(found.pods()) } else { Check::Change { lines, change: found } })
    }

    async fn apply(&self, cx: &Context, input: &Self::Input, change: ReleaseChange) -> Result<()> {
        let ReleaseChange { hub, cluster, current, wanted, .. } = change;
        let secret = &input.registered.secret;
        let region = self.region.name.as_str();
        let number = history::record_release(&hub, region, &wanted).await?;
        if current.as_ref() != Some(&wanted) {
            cx.progress(format!(
                "starting release {number}: commit {}",
                annotations::short(&wanted["commit"])
            ));
            if current.is_none() {
                kubernetes::apply(&hub, MANAGER, &annotations::patch(secret, &wanted, false)).await?;
            }
            kubernetes::apply(&hub, MANAGER, &annotations::patch(secret, &wanted, true)).await?;
        }
        let sync = Sync {
            cx,
            hub: &hub,
            cluster: &cluster,
            endpoint: self.endpoint(cx, &cluster, &input.foundation),
            application: &Application::new(&hub, &self.name),
            release: &wanted,
        };
        let ended = sync.run().await;
        match &ended {
            Ok(()) => history::record_outcome(&hub, region, number, ReleaseOutcome::Healthy).await?,
            Err(error) if error.class == Class::Permanent => {
                // An error while recording the outcome is dropped, because it must not hide the failure itself.
                drop(history::record_outcome(&hub, region, number, ReleaseOutcome::Failed).await);
            }
            Err(_) => {}
        }
        // Old records must not fail the release; the next one tries again.
        if !cx.cancel.soft.is_cancelled()
            && let Err(error) = history::prune(&hub, region).await
            && error.class == Class::Permanent
        {
            cx.warn(
                format!("records of old releases remain: {error}"),
                format!(
                    "allow this principal to delete ConfigMaps in the namespace `{NAMESPACE}` of the hub"
                ),
            );
        }
        ended
    }

    async fn destroy(&self, cx: &Context, _: Option<&Self::Input>) -> Result<Option<String>> {
        self.teardown.run(cx).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::annotations::tests::{constant, input};
    use super::*;

    fn client() -> Client {
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        Client::try_from(config).unwrap()
    }

    fn change(current: Option<Annotations>, troubles: &[&str]) -> ReleaseChange {
        ReleaseChange {
            hub: client(),
            cluster: client(),
            current,
            wanted: annotations::annotations(&constant(), &input()),
            troubles: troubles.iter().map(|trouble| (*trouble).to_owned()).collect(),
            count: Count { pods: 2, ready: 1, missing: Vec::new() },
        }
    }

    #[tokio::test]
    async fn a_first_release_is_announced_as_such() {
        assert_eq!(change(None, &[]).lines(), ["first release: commit 4f1c2ab, image 9d9d9d9"]);
    }

    #[tokio::test]
    async fn a_healthy_release_that_is_up_to_date_is_clean() {
        let wanted = annotations::annotations(&constant(), &input());
        assert_eq!(change(Some(wanted.clone()), &[]).lines(), Vec::<String>::new());
        assert_eq!(change(Some(wanted), &["degraded: pod x"]).lines(), ["degraded: pod x"]);
        assert_eq!(change(None, &[]).pods(), "1/2 pods");
    }
}
