//! What outlives a deleted database, and the keys that it is read with.
//!
//! A database's final snapshot and its automated backups become unreadable when the key that encrypted them is deleted.
//! The phase `terraform` keeps such a key in its place (`data_key.rs`). This module finds out what remains and why, and
//! rescues a key that is scheduled for deletion all the same, such as by hand or by an earlier version.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_kms::{Client, types::KeyState};
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use super::{Aws, classify, is_missing, sweep::Scope};
use crate::task::{Claim, ErrorExt, Result};

/// The snapshots and backups of a database, by the ARN of the key that encrypts them.
pub async fn needed(aws: &Aws, aws_region: &str, database: &str) -> Result<BTreeMap<String, Vec<String>>> {
    let rds = aws_sdk_rds::Client::new(&aws.in_region(aws_region));
    let doing = || format!("list the snapshots and backups of database `{database}`");
    let mut needed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let pages = rds.describe_db_snapshots().db_instance_identifier(database).snapshot_type("manual");
    let snapshots = pages.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
    let snapshots = match snapshots {
        Ok(snapshots) => snapshots,
        Err(error) if is_missing(&error) => Vec::new(),
        Err(error) => return Err(classify(error)).doing(doing()),
    };
    for one in snapshots {
        if let (Some(key), Some(name)) = (one.kms_key_id, one.db_snapshot_identifier) {
            needed.entry(key).or_default().push(format!("snapshot {name}"));
        }
    }
    let backups = rds.describe_db_instance_automated_backups().db_instance_identifier(database).send().await;
    let backups = match backups {
        Ok(backups) => backups.db_instance_automated_backups.unwrap_or_default(),
        Err(error) if is_missing(&error) => Vec::new(),
        Err(error) => return Err(classify(error)).doing(doing()),
    };
    for one in backups {
        let backup = one.db_instance_automated_backups_arn.or(one.dbi_resource_id).unwrap_or_default();
        if let Some(key) = one.kms_key_id {
            needed.entry(key).or_default().push(format!("automated backup {backup}"));
        }
    }
    Ok(needed)
}

/// Cancels the deletion of every key that a snapshot or a backup of the region's database still needs, and enables it.
///
/// A key whose deletion is cancelled is disabled. A claim tells it from a key that a person has disabled, which stays so.
pub async fn keep(scope: Scope<'_>) -> Result<()> {
    let kms = Client::new(&scope.aws.in_region(scope.aws_region));
    for (arn, users) in needed(scope.aws, scope.aws_region, scope.cluster).await? {
        let users = users.join(", ");
        let doing = || format!("keep key `{arn}`, which {users} needs");
        let claim = Claim::Rescue { key: arn.clone() };
        match state(&kms, &arn).await.doing(doing())? {
            Some(KeyState::PendingDeletion) => {
                scope.task.claim(&claim).await?;
                cancel_deletion(&kms, &arn).await.doing(doing())?;
            }
            // An attempt before this one has ended between the two calls.
            Some(KeyState::Disabled) if scope.task.claims.open().contains(&claim) => {}
            Some(KeyState::Disabled) => {
                scope.task.warn(
                    format!("key `{arn}` is disabled, so {users} cannot be restored"),
                    format!("`aws kms enable-key --region {} --key-id {arn}`", scope.aws_region),
                );
                continue;
            }
            _ => continue,
        }
        kms.enable_key().key_id(&arn).send().await.map_err(classify).doing(doing())?;
        scope.task.release(&claim);
        scope.task.progress(format!("keeping key {arn}: {users} is encrypted with it"));
    }
    Ok(())
}

/// Enables the keys whose rescue a dead run did not finish, unless they are to be deleted again.
pub async fn finish(aws: &SdkConfig, left: &[Claim]) -> Result<()> {
    let kms = Client::new(aws);
    for claim in left {
        let Claim::Rescue { key } = claim else { continue };
        let doing = || format!("enable key `{key}`, which a run that died was keeping");
        if state(&kms, key).await.doing(doing())? == Some(KeyState::Disabled) {
            kms.enable_key().key_id(key).send().await.map_err(classify).doing(doing())?;
        }
    }
    Ok(())
}

/// `None` if there is no such key.
async fn state(kms: &Client, key: &str) -> Result<Option<KeyState>> {
    match kms.describe_key().key_id(key).send().await {
        Ok(described) => Ok(described.key_metadata.and_then(|key| key.key_state)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(classify(error)),
    }
}

async fn cancel_deletion(kms: &Client, key: &str) -> Result<()> {
    match kms.cancel_key_deletion().key_id(key).send().await {
        // It is not scheduled for deletion any more: an attempt whose answer was lost has cancelled it.
        Err(error) if error.code() == Some("KMSInvalidStateException") => Ok(()),
        cancelled => cancelled.map(drop).map_err(classify),
    }
}
