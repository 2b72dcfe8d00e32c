//! Regions that are deployed and no longer configured: their state is in the account, their table is gone from
//! `paydeploy.toml`.

use std::collections::BTreeMap;

use aws_sdk_s3::Client;
use futures::future::try_join_all;
use serde::Serialize;

use crate::{
    aws::{Aws, classify, state_file},
    config::Config,
    step::{ErrorExt as _, RegionName, Result},
};

/// Stacks whose states tell what a region has.
const STACKS: [&str; 4] = ["foundation", "cluster", "database", "audit"];

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Orphan {
    pub region: String,
    pub aws_region: String,
    pub resources: usize,
}

impl Orphan {
    /// A line for the user.
    pub fn line(&self) -> String {
        let Self { region, aws_region, resources } = self;
        format!("{region}: {resources} resources in {aws_region}, no longer configured")
    }
}

/// Looks through the project's state buckets.
///
/// `configured` are all regions of the file, whatever the command was limited to.
pub async fn find(
    aws: &Aws,
    config: &Config,
    configured: &BTreeMap<RegionName, String>,
) -> Result<Vec<Orphan>> {
    let prefix = format!("{}-tfstate-{}-", config.project, config.account);
    let client = Client::new(&aws.in_region(&config.hub().aws_region));
    let buckets =
        client.list_buckets().prefix(&prefix).send().await.map_err(classify).doing("list state buckets")?;
    let names = buckets.buckets().iter().filter_map(|bucket| bucket.name());
    // not every S3 knows the prefix
    let looks = names
        .filter_map(|name| Some((name, name.strip_prefix(&prefix)?)))
        .map(|(name, aws_region)| in_bucket(aws, config, name.to_owned(), aws_region.to_owned(), configured));
    Ok(try_join_all(looks).await?.concat())
}

async fn in_bucket(
    aws: &Aws,
    config: &Config,
    bucket: String,
    aws_region: String,
    configured: &BTreeMap<RegionName, String>,
) -> Result<Vec<Orphan>> {
    let sdk = aws.in_region(&aws_region);
    let folder = format!("{}/", config.project);
    let listed = Client::new(&sdk).list_objects_v2().bucket(&bucket).prefix(&folder).delimiter("/").send();
    let listed = listed.await.map_err(classify).doing(format!("list state bucket `{bucket}`"))?;
    let mut orphans = Vec::new();
    for folder in listed.common_prefixes().iter().filter_map(|one| one.prefix()?.strip_prefix(&folder)) {
        let region = folder.trim_end_matches('/');
        if configured.iter().any(|(name, place)| name.as_str() == region && *place == aws_region) {
            continue;
        }
        let key = |stack: &str| format!("{}/{region}/{stack}.tfstate", config.project);
        let states = try_join_all(STACKS.map(key).map(|key| {
            let (sdk, bucket) = (&sdk, &bucket);
            async move { state_file::state(sdk, bucket, &key).await }
        }));
        let resources = states.await?.into_iter().flatten().map(|state| state.resources).sum();
        if resources > 0 {
            orphans.push(Orphan { region: region.to_owned(), aws_region: aws_region.clone(), resources });
        }
    }
    Ok(orphans)
}
