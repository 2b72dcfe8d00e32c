//! The phase `helm-deps`: installs a region's add-ons with Helm.

mod store;
mod values;

use std::time::Duration;

use kube::Client;

use crate::{
    aws::balancers as aws_balancers,
    config::{self, Config, Region},
    fact,
    kubernetes::{
        self, Balanced, By, Open, Reach,
        helm::{self, Compared, Wanted},
    },
    step::{Check, Claim, Context, ErrorExt, Phase, Result, Seen, Step, StepId},
};

/// The add-on whose webhook the others need: it is installed first and uninstalled last.
pub const LOAD_BALANCER_CONTROLLER: &str = "aws-load-balancer-controller";
/// The add-on whose kinds (ServiceMonitor and others) other charts may create.
pub const MONITORS: &str = "prometheus-operator-crds";
/// The add-on that belongs to the phase `argocd`.
pub const ARGO_CD: &str = "argo-cd";

/// One add-on in one region. Any chart works. Add-ons that are known by name also get values from facts, and the
/// objects that belong to them.
pub struct Addon {
    region: Region,
    /// The region's EKS cluster.
    cluster: String,
    name: String,
    chart: config::Addon,
}

/// The step of an add-on named in `[addons.NAME]`.
///
/// # Panics
/// When the configuration has no add-on of that name.
pub fn addon(config: &Config, region: &Region, name: &str) -> Addon {
    Addon {
        region: region.clone(),
        cluster: config.name_in(&region.name),
        name: name.to_owned(),
        chart: config.addons[name].clone(),
    }
}

/// The wanted release, and how the installed one differs.
pub struct AddonChange {
    client: Client,
    wanted: Wanted,
    compared: Compared,
}

impl Addon {
    async fn compare(
        &self,
        cx: &Context,
        access: &fact::Access,
        network: &fact::Foundation,
    ) -> Result<AddonChange> {
        let tags = cx.world.config.tags(&self.region);
        let facts = values::from_facts(&self.name, access, network, &tags);
        let wanted = Wanted::new(&self.name, &self.chart, facts)?;
        let client = kubernetes::connect(&cx.world.aws, access).await?;
        let compared = helm::compare(&client, &wanted).await?;
        Ok(AddonChange { client, wanted, compared })
    }

    /// The differences of the objects that belong to the add-on but not to its chart.
    async fn extras(&self, found: &AddonChange, by: By) -> Result<Vec<String>> {
        if self.name == store::ADDON && found.compared.is_clean() {
            return store::drift(&found.client, &self.region.aws_region, by).await;
        }
        Ok(Vec::new())
    }
}

impl Step for Addon {
    /// How to reach the region, and its network; the third part only orders the steps.
    type Input = (fact::Access, fact::Foundation, ());
    type Fact = fact::Addon;
    type Change = AddonChange;

    fn id(&self) -> StepId {
        StepId::part(Phase::HelmDeps, &self.region.name, self.name.clone())
    }

    fn estimate(&self) -> Duration {
        Duration::from_mins(1)
    }

    async fn read(&self, cx: &Context, (access, network, ()): &Self::Input) -> Result<Seen<Self::Fact>> {
        let found = self.compare(cx, access, network).await?;
        let Some(stored) = &found.compared.stored else { return Ok(Seen::missing("not installed")) };
        let fact = fact::Addon { release: self.name.clone(), version: stored.version.clone() };
        let lines = [found.compared.lines(), self.extras(&found, By::Reading).await?].concat();
        let version = &stored.version;
        Ok(if lines.is_empty() {
            Seen::ok(fact, version)
        } else {
            Seen::differs(fact, format!("{version}: {}", lines.join(", ")))
        })
    }

    async fn check(&self, cx: &Context, (access, network, ()): &Self::Input) -> Result<Check<AddonChange>> {
        let found = self.compare(cx, access, network).await?;
        found.compared.refuse_downgrade(&found.wanted, cx.world.allow_downgrade)?;
        if self.name == store::ADDON {
            store::refuse_direct_upgrade(found.compared.stored.as_ref(), &found.wanted.version)?;
        }
        let lines = [found.compared.lines(), self.extras(&found, By::DryRun).await?].concat();
        Ok(if lines.is_empty() {
            Check::Clean(found.wanted.version)
        } else {
            Check::Change { lines, change: found }
        })
    }

    async fn apply(&self, cx: &Context, (access, ..): &Self::Input, change: AddonChange) -> Result<()> {
        let AddonChange { client, wanted, compared } = change;
        helm::install(cx, cx.world.helm(), &client, access, &wanted, &compared).await?;
        if self.name == store::ADDON {
            store::apply(cx, &client, &self.region.aws_region).await?;
        }
        Ok(())
    }

    async fn repair(&self, cx: &Context, input: Option<&Self::Input>, left: &[Claim]) -> Result<()> {
        if left.is_empty() {
            return Ok(());
        }
        let known = input.map(|(access, ..)| access);
        // Without a cluster there is no release.
        let cluster = cx.open(known, &self.region.aws_region, &self.cluster).await?;
        let Some(Open { access, client }) = cluster else { return Ok(()) };
        let release = (self.chart.namespace.as_str(), self.name.as_str());
        helm::repair(cx, cx.world.helm(), &client, &access, release, left).await
    }

    async fn destroy(&self, cx: &Context, _: Option<&Self::Input>) -> Result<Option<String>> {
        let aws_region = &self.region.aws_region;
        let is_controller = self.name == LOAD_BALANCER_CONTROLLER;
        let Open { access, client } = match cx.reach(aws_region, &self.cluster).await? {
            Reach::Open(open) => open,
            // The controller was deleted together with the cluster, so its load balancers are found by their tags.
            Reach::Absent if is_controller => {
                let swept = aws_balancers::sweep(cx, &cx.world.aws, aws_region, &self.cluster).await?;
                return Ok((!swept.is_empty()).then(|| format!("deleted by tag: {}", swept.join(", "))));
            }
            // A controller that runs would create them again. They are swept once the cluster is deleted.
            Reach::Absent | Reach::Closed(_) => return Ok(None),
        };
        let stored = helm::latest(&client, &self.chart.namespace, &self.name).await?;
        let mut deleted = Vec::new();
        if is_controller {
            let balanced = Balanced {
                client: &client,
                namespace: None,
                aws_region,
                cluster: &self.cluster,
                is_controlled: stored.is_some(),
                force: cx.world.is_forced(),
            };
            deleted = balanced.remove(cx, &cx.world.aws).await?;
        }
        let Some(stored) = stored else {
            return Ok((!deleted.is_empty()).then(|| format!("deleted: {}", deleted.join(", "))));
        };
        if self.name == store::ADDON {
            store::remove(cx, &client).await?;
        }
        helm::uninstall(cx, cx.world.helm(), &access, &self.chart.namespace, &self.name).await.hint(
            "find what blocks it with `kubectl get namespaces,validatingwebhookconfigurations`, then run the same \
             command again",
        )?;
        Ok(Some(format!("{} deleted", stored.version)))
    }
}
