//! The configuration of a region that is no longer in `paydeploy.toml`, as it was deployed.

use std::path::Path;

use super::{Exit, Failure};
use crate::{
    aws::{Aws, classify, objects::Objects},
    config::{Config, Deployed, Region},
    step::{Class, ErrorExt as _, RegionName, Result},
};

/// The region from what `up` keeps beside its state; `None` if the account has no such region. Its var file is written
/// below `state`.
///
/// # Errors
/// When the account cannot be searched.
pub async fn find(
    aws: &Aws,
    config: &Config,
    region: &RegionName,
    state: &Path,
) -> Result<Option<Region>, Failure> {
    let found = search(aws, config, region, state).await;
    found.map_err(|error| {
        // As for any other command that cannot ask the account.
        let exit = if error.class == Class::Transient { Exit::Unknown } else { Exit::Preflight };
        Failure::of_step(exit, error)
    })
}

async fn search(aws: &Aws, config: &Config, region: &RegionName, state: &Path) -> Result<Option<Region>> {
    let prefix = format!("{}-tfstate-{}-", config.project, config.account);
    let client = aws_sdk_s3::Client::new(&aws.in_region(&config.hub().aws_region));
    let listed = client.list_buckets().prefix(&prefix).send().await.map_err(classify);
    let listed = listed.doing(format!("look for region `{region}`, which is not in the configuration"))?;
    for name in listed.buckets().iter().filter_map(|bucket| bucket.name()) {
        let Some(aws_region) = name.strip_prefix(&prefix) else { continue };
        let bucket = Objects::new(&aws.in_region(aws_region), name);
        let Some(stored) = bucket.get(&config.deployed_key(region)).await? else { continue };
        let Some(deployed) = Deployed::parse(&stored.body) else { continue };
        let folder = state.join("removed");
        let restored = deployed.region(&folder).doing(format!("write the variables of region `{region}`"))?;
        return Ok(Some(restored));
    }
    Ok(None)
}
