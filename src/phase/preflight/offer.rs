//! Asks AWS what a region offers and what of it is already in use.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
};

use futures::future::try_join_all;

use super::need::Need;
use crate::{
    aws::{
        offers::{self, InstanceType, Orderable, Refused, Support, Zone},
        quotas::{self, Quota, Tags, Used},
    },
    config::Region,
    step::{Context, ErrorExt as _, Result},
};

/// What a region offers. `None` and missing entries are what the credentials may not ask; they are not compared.
#[derive(Debug, Clone, Default)]
pub struct Offer {
    pub zones: Option<Vec<Zone>>,
    pub limits: Vec<(Quota, u64)>,
    pub addresses: Option<Used>,
    pub vpcs: Option<Used>,
    /// The names of the zones that offer an endpoint of a service, by its full name.
    pub endpoints: Option<BTreeMap<String, BTreeSet<String>>>,
    /// Running instances by type.
    pub instances: Option<BTreeMap<String, Used>>,
    pub types: Option<BTreeMap<String, InstanceType>>,
    pub kubernetes: Option<BTreeMap<String, Support>>,
    /// Versions by add-on, the default first.
    pub addons: Option<BTreeMap<String, Vec<String>>>,
    pub orderable: Option<Vec<Orderable>>,
    pub postgres: Option<BTreeMap<String, Support>>,
    pub deployed: Deployed,
}

/// What already exists of this deployment, and therefore need not be offered any more.
#[derive(Debug, Clone, Default)]
pub struct Deployed {
    /// The cluster's Kubernetes version.
    pub cluster: Option<String>,
    pub addons: BTreeMap<String, String>,
    /// The services to which there are endpoints, by full name.
    pub endpoints: BTreeSet<String>,
    /// The database's class and major version.
    pub database: Option<(String, String)>,
}

/// Reads what a need is compared with. Warns about each question that the credentials may not ask.
///
/// # Errors
/// The first question that AWS does not answer, because the others would fail for the same reason.
pub async fn read(cx: &Context, region: &Region, need: &Need) -> Result<Offer> {
    let aws = cx.world.aws.in_region(&region.aws_region);
    let name = cx.world.config.name_in(&region.name);
    let ec2 = aws_sdk_ec2::Client::new(&aws);
    let eks = aws_sdk_eks::Client::new(&aws);
    let rds = aws_sdk_rds::Client::new(&aws);
    let tags = Tags { project: &cx.world.config.project, region: region.name.as_str() };
    let asked = Asked { cx, region };

    let quota = async |quota: Quota| asked.ask("servicequotas", quotas::limit(&aws, quota)).await;
    let limits = async {
        let all = [Quota::Addresses, Quota::Vpcs, Quota::Vcpus];
        // One warning is enough if the credentials may not read quotas at all.
        let Some(first) = quota(all[0]).await? else { return Ok(Vec::new()) };
        let others = try_join_all(all[1..].iter().map(|one| quota(*one))).await?;
        let known = std::iter::once(Some(first)).chain(others);
        Ok(all.into_iter().zip(known).filter_map(|(quota, limit)| Some((quota, limit?))).collect())
    };
    let instances = async {
        let running = asked.ask("ec2", quotas::instances(&ec2, tags)).await?;
        let wanted = need.nodes.iter().flat_map(|nodes| &nodes.types);
        let names: BTreeSet<String> =
            wanted.chain(running.iter().flatten().map(|(name, _)| name)).cloned().collect();
        Ok((running, asked.ask("ec2", offers::instance_types(&ec2, &names)).await?))
    };
    let network = async {
        tokio::try_join!(
            asked.ask("ec2", offers::zones(&ec2)),
            asked.ask("ec2", quotas::addresses(&ec2, tags)),
            asked.ask("ec2", quotas::vpcs(&ec2, tags)),
            asked.ask("ec2", offers::endpoint_services(&ec2, &need.endpoints)),
            asked.ask("ec2", quotas::endpoints(&ec2, tags)),
        )
    };
    let cluster = async {
        let Some(wanted) = &need.cluster else { return Ok((None, None, None, BTreeMap::new())) };
        let (versions, addons, deployed) = tokio::try_join!(
            asked.ask("eks", offers::kubernetes_versions(&eks)),
            asked.ask("eks", offers::addon_versions(&eks, &wanted.version)),
            asked.ask("eks", offers::cluster_version(&eks, &name)),
        )?;
        let deployed = deployed.flatten();
        let mut installed = BTreeMap::new();
        if deployed.is_some() {
            for (addon, _) in &wanted.addons {
                let version = asked.ask("eks", offers::addon_version(&eks, &name, addon)).await?.flatten();
                installed.extend(version.map(|version| (addon.clone(), version)));
            }
        }
        Ok((versions, addons, deployed, installed))
    };
    let database = async {
        let Some(wanted) = &need.database else { return Ok((None, None, None)) };
        tokio::try_join!(
            asked.ask("rds", offers::orderable(&rds, &wanted.class)),
            asked.ask("rds", offers::postgres_versions(&rds)),
            asked.ask("rds", offers::database(&rds, &name)),
        )
    };

    let (limits, (instances, types), network, cluster, database) =
        tokio::try_join!(limits, instances, network, cluster, database)?;
    let (zones, addresses, vpcs, endpoints, existing) = network;
    let (kubernetes, addons, cluster, installed) = cluster;
    let (orderable, postgres, database) = database;
    let deployed = Deployed {
        cluster,
        addons: installed,
        endpoints: existing.unwrap_or_default(),
        database: database.flatten(),
    };
    Ok(Offer {
        zones,
        limits,
        addresses,
        vpcs,
        endpoints,
        instances,
        types,
        kubernetes,
        addons,
        orderable,
        postgres,
        deployed,
    })
}

struct Asked<'a> {
    cx: &'a Context,
    region: &'a Region,
}

impl Asked<'_> {
    /// The answer, or a warning and `None` if the credentials may not ask.
    async fn ask<T>(
        &self,
        service: &str,
        answer: impl Future<Output = Result<T, Refused>>,
    ) -> Result<Option<T>> {
        let Region { name, aws_region, .. } = self.region;
        match answer.await {
            Ok(answer) => Ok(Some(answer)),
            Err(Refused::Failed(error)) => {
                Err(error).doing(format!("read what `{aws_region}` offers ({service}) for region `{name}`"))
            }
            Err(Refused::Denied(error)) => {
                self.cx.warn(
                    format!("region `{name}`: not checked whether `{aws_region}` offers what the stacks need: {error}"),
                    format!("allow the deploying principal to read from {service}; without it, `up` may stop halfway"),
                );
                Ok(None)
            }
        }
    }
}
