//! What is asked before a step's effects: the leases of the run's regions, then what dead runs left open.
//!
//! 1. The first step after the preflight takes the leases of all regions, the hub's first, if the command does not have them
//!    yet (`hold`).
//! 2. Each further step takes the lease of its own region, if that had no state bucket before.
//! 3. A run that is older than what is deployed is refused before its first deploying step (`version`).
//! 4. With the lease, `others` takes over what dead runs left open in the region.
//! 5. A step that changes what all regions share takes the hub's lease for as long as it runs.

use std::{collections::BTreeSet, sync::Arc};

use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use super::{hold::Hold, mirror::Buckets, others::Others, version::Versions};
use crate::{
    engine,
    lease::Places,
    phase::terraform,
    step::{Context, Error, Phase, RegionName, Result, StepId},
    task::Claim,
};

/// The gate of one run.
pub(super) struct Gate<B, P: Places> {
    others: Others<B>,
    hold: Arc<Hold<P>>,
    /// The regions in which the run may act.
    regions: Vec<RegionName>,
    has_entered: OnceCell<()>,
    /// Whether the run may deploy, judged before its first deploying step.
    is_judged: OnceCell<()>,
    /// Whether each region has a bucket once its first step has ended: not in a teardown.
    creates_buckets: bool,
    /// What must not be older than what is deployed; none in a teardown.
    versions: Option<Versions>,
    /// The regions in which the versions are recorded.
    recorded: tokio::sync::Mutex<BTreeSet<RegionName>>,
}

impl<B: Buckets, P: Places> Gate<B, P> {
    pub fn new(
        others: Others<B>,
        hold: Arc<Hold<P>>,
        regions: Vec<RegionName>,
        creates_buckets: bool,
        versions: Option<Versions>,
    ) -> Self {
        let leases = hold.leases.clone();
        let others = others.knowing(move |holder| leases.has_outlived(holder));
        let (has_entered, is_judged) = (OnceCell::new(), OnceCell::new());
        let recorded = tokio::sync::Mutex::default();
        Self { others, hold, regions, has_entered, is_judged, creates_buckets, versions, recorded }
    }

    /// Refuses a run that is older than what is deployed, in all its regions together.
    async fn judge(&self, cx: &Context, regions: &[RegionName]) -> Result<()> {
        let Some(versions) = &self.versions else { return Ok(()) };
        match versions.refusal(cx, regions).await? {
            Some(refusal) => Err(self.hold.stop(&cx.task, refusal)),
            None => Ok(()),
        }
    }

    /// Records once per region that this run deploys there.
    async fn record(&self, cx: &Context, region: &RegionName) -> Result<()> {
        let mut recorded = self.recorded.lock().await;
        let Some(versions) = &self.versions else { return Ok(()) };
        if recorded.contains(region) || !self.hold.leases.holds(region) {
            return Ok(());
        }
        if let Some(refusal) = versions.record(cx, region).await? {
            return Err(self.hold.stop(&cx.task, refusal));
        }
        recorded.insert(region.clone());
        Ok(())
    }

    async fn take(&self, cx: &Context) -> Result<()> {
        // The other steps wait here. If the one that takes them is dropped, the next one does it.
        self.has_entered.get_or_try_init(|| self.hold.take(&cx.task, &self.regions)).await?;
        if deploys(&cx.step) {
            self.is_judged.get_or_try_init(|| self.judge(cx, &self.regions)).await?;
        }
        let Some(region) = &cx.step.region else { return Ok(()) };
        self.hold.take(&cx.task, std::slice::from_ref(region)).await?;
        if self.creates_buckets && !terraform::is_state_bucket(&cx.step) && !self.hold.leases.holds(region) {
            return Err(Error::transient(format!(
                "S3 does not show the state bucket of region `{region}` yet"
            )));
        }
        Ok(())
    }
}

/// Whether a step changes a region, and not only this machine or a registry.
fn deploys(step: &StepId) -> bool {
    !matches!(step.phase, Phase::Preflight | Phase::Kubeconfig | Phase::Docker)
}

impl<B: Buckets, P: Places> engine::Gate for Gate<B, P> {
    fn pass<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Vec<Claim>>> {
        Box::pin(async move {
            if cx.step.phase == Phase::Preflight {
                return Ok(Vec::new());
            }
            self.take(cx).await?;
            self.others.pass(cx).await
        })
    }

    fn share<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let has_waited = self.hold.lend(&cx.task).await?;
            let hub = self.hold.leases.hub();
            // Otherwise it was judged with the other regions.
            if !self.regions.contains(hub) {
                self.judge(cx, std::slice::from_ref(hub)).await?;
            }
            Ok(has_waited)
        })
    }

    fn before_effect<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match &cx.step.region {
                _ if !deploys(&cx.step) => Ok(()),
                Some(region) => self.record(cx, region).await,
                // It changes what all regions share, on the hub.
                None => self.record(cx, self.hold.leases.hub()).await,
            }
        })
    }

    fn end_sharing<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, ()> {
        Box::pin(self.hold.leases.unlend(&cx.step))
    }
}
