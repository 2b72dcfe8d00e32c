//! What a deleted cluster left behind.

use aws_sdk_ec2::types::Filter;

use super::{Scope, logs};
use crate::{
    aws::{balancers, classify, cluster::exists, is_missing, records::Records},
    task::{ErrorExt, Result},
};

/// Deletes what the cluster's controllers and EKS left behind. Returns the names of what that was.
///
/// Does nothing while the cluster exists: its controllers would create all of it again.
pub async fn cluster(scope: Scope<'_>) -> Result<Vec<String>> {
    let Scope { task, aws, aws_region, cluster, .. } = scope;
    if exists(aws, aws_region, cluster).await? {
        return Ok(Vec::new());
    }
    let mut swept = balancers::sweep(task, aws, aws_region, cluster).await?;
    if let Some(records) = Records::of(aws, aws_region, scope.domain, cluster).await? {
        swept.extend(records.delete().await?);
    }
    swept.extend(logs::sweep(scope).await?);
    swept.extend(volumes(scope).await?);
    Ok(swept)
}

/// Deletes the volumes of the cluster's persistent volumes. One that is still attached belongs to an instance that is
/// not the cluster's any more.
async fn volumes(scope: Scope<'_>) -> Result<Vec<String>> {
    if !scope.volumes {
        return Ok(Vec::new());
    }
    let ec2 = aws_sdk_ec2::Client::new(&scope.aws.in_region(scope.aws_region));
    let doing = || format!("delete the volumes of cluster `{}`", scope.cluster);
    let tag = format!("tag:kubernetes.io/cluster/{}", scope.cluster);
    let owned = Filter::builder().name(tag).values("owned").build();
    let available = Filter::builder().name("status").values("available").build();
    let pages = ec2.describe_volumes().filters(owned).filters(available).into_paginator().items().send();
    let found = pages.collect::<Result<Vec<_>, _>>().await.map_err(classify).doing(doing())?;
    let mut swept = Vec::new();
    for id in found.into_iter().filter_map(|volume| volume.volume_id) {
        match ec2.delete_volume().volume_id(&id).send().await {
            Err(error) if !is_missing(&error) => return Err(classify(error)).doing(doing()),
            _ => swept.push(format!("volume {id}")),
        }
    }
    Ok(swept)
}
