//! Regions that are deployed and no longer configured: their Terraform state is still in the account, but
//! `paydeploy.toml` has no table for them.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_s3::Client;
use futures::future::try_join_all;

use super::{Exit, Failure, Session};
use crate::{
    aws::{Aws, classify, state_file},
    config::{Config, stack},
    step::{ErrorExt as _, RegionName, Result},
    task::Orphan,
};

/// The search is an addition to a command's own result and must not delay it for long.
const DEADLINE: Duration = Duration::from_secs(20);

impl Session {
    /// Regions that are deployed and no longer configured. A failed search is only printed, because the
    /// command has its own result.
    ///
    /// # Errors
    /// When interrupted.
    pub async fn orphans(&self) -> Result<Vec<Orphan>, Failure> {
        let search = find(&self.world.aws, self.config(), &self.configured);
        let found = self.or_interrupted(tokio::time::timeout(DEADLINE, search)).await.map_err(|_| {
            // The command has already run, so its own message would be untrue.
            Failure::new(Exit::Interrupted, "interrupted")
        })?;
        let cause = match found {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("timed out after {} s", DEADLINE.as_secs()),
        };
        eprintln!("failed to search for regions that are no longer configured: {cause}");
        Ok(Vec::new())
    }
}

/// Searches the project's state buckets.
///
/// `configured` are all regions of the file, whatever the command is limited to.
async fn find(aws: &Aws, config: &Config, configured: &BTreeMap<RegionName, String>) -> Result<Vec<Orphan>> {
    let prefix = format!("{}-tfstate-{}-", config.project, config.account);
    let client = Client::new(&aws.in_region(&config.hub().aws_region));
    let buckets =
        client.list_buckets().prefix(&prefix).send().await.map_err(classify).doing("list state buckets")?;
    let names = buckets.buckets().iter().filter_map(|bucket| bucket.name());
    // Filtered again because not every S3 implementation honours `prefix`.
    let searches = names
        .filter_map(|name| Some((name, name.strip_prefix(&prefix)?)))
        .map(|(name, aws_region)| in_bucket(aws, config, name.to_owned(), aws_region.to_owned(), configured));
    Ok(try_join_all(searches).await?.concat())
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
        let key = |name: &str| format!("{}/{region}/{name}.tfstate", config.project);
        let states = try_join_all(stack::ALL.map(key).map(|key| {
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
