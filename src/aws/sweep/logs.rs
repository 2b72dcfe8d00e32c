//! The log group of a cluster's control plane. EKS writes its last events after the cluster is deleted, and so creates
//! the group again: without retention and key, and in nobody's state.

use aws_sdk_cloudwatchlogs::{Client, types::LogGroup};

use super::Scope;
use crate::{
    aws::{Aws, classify, cluster::exists, is_missing},
    task::{ErrorExt, Result},
};

/// The name of a cluster's log group, which EKS determines.
pub(super) fn name(cluster: &str) -> String {
    format!("/aws/eks/{cluster}/cluster")
}

async fn find(client: &Client, name: &str) -> Result<Option<LogGroup>> {
    let found = client.describe_log_groups().log_group_name_prefix(name).send().await.map_err(classify);
    let found = found.doing(format!("look for log group `{name}`"))?;
    // The prefix also matches longer names.
    Ok(found.log_groups.unwrap_or_default().into_iter().find(|group| group.log_group_name() == Some(name)))
}

async fn delete(client: &Client, name: &str) -> Result<()> {
    match client.delete_log_group().log_group_name(name).send().await {
        Ok(_) => Ok(()),
        Err(error) if is_missing(&error) => Ok(()),
        Err(error) => Err(classify(error)).doing(format!("delete log group `{name}`")),
    }
}

/// Deletes the log group of a deleted cluster. Returns its name if there was one.
pub(super) async fn sweep(scope: Scope<'_>) -> Result<Option<String>> {
    let client = Client::new(&scope.aws.in_region(scope.aws_region));
    let name = name(scope.cluster);
    if !scope.logs || find(&client, &name).await?.is_none() {
        return Ok(None);
    }
    delete(&client, &name).await?;
    Ok(Some(format!("log group {name}")))
}

/// Deletes a log group that EKS created by itself, so that the stack can create its own. Returns its name if there was
/// one.
pub async fn unmanaged(aws: &Aws, aws_region: &str, cluster: &str) -> Result<Option<String>> {
    let client = Client::new(&aws.in_region(aws_region));
    let name = name(cluster);
    let Some(found) = find(&client, &name).await? else { return Ok(None) };
    if is_managed(&found) || exists(aws, aws_region, cluster).await? {
        return Ok(None);
    }
    delete(&client, &name).await?;
    Ok(Some(name))
}

/// Stacks and people set a retention or a key; EKS sets neither.
fn is_managed(group: &LogGroup) -> bool {
    group.retention_in_days().is_some() || group.kms_key_id().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_with_retention_or_key_was_not_created_by_eks() {
        assert!(!is_managed(&LogGroup::builder().build()));
        assert!(is_managed(&LogGroup::builder().retention_in_days(30).build()));
        assert!(is_managed(&LogGroup::builder().kms_key_id("arn:x").build()));
    }
}
