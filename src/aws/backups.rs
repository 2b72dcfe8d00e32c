//! What outlives a deleted database, and the keys that it is read with.
//!
//! A database's final snapshot and its automated backups become unreadable when the key that encrypted them is deleted.
//! The phase `terraform` keeps such a key in its place (`data_key.rs`). This module finds out what remains and why, and
//! rescues a key that is scheduled for deletion all the same, such as by hand or by an earlier version.

use std::collections::BTreeMap;

use aws_sdk_kms::types::KeyState;

use super::{Aws, classify, is_missing};
use crate::task::{ErrorExt, Result, Task};

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

/// Cancels the deletion of every key that a snapshot or a backup of the database still needs.
pub async fn keep(task: &Task, aws: &Aws, aws_region: &str, database: &str) -> Result<()> {
    let kms = aws_sdk_kms::Client::new(&aws.in_region(aws_region));
    for (key, users) in needed(aws, aws_region, database).await? {
        let doing = || format!("keep key `{key}`, which {} needs", users.join(", "));
        let described = match kms.describe_key().key_id(&key).send().await {
            Ok(described) => described.key_metadata,
            Err(error) if is_missing(&error) => continue,
            Err(error) => return Err(classify(error)).doing(doing()),
        };
        let Some(found) = described else { continue };
        if found.key_state() != Some(&KeyState::PendingDeletion) {
            continue;
        }
        kms.cancel_key_deletion().key_id(found.key_id()).send().await.map_err(classify).doing(doing())?;
        // A key whose deletion is cancelled is disabled.
        kms.enable_key().key_id(found.key_id()).send().await.map_err(classify).doing(doing())?;
        task.progress(format!("keeping key {}: {} is encrypted with it", found.key_id(), users.join(", ")));
    }
    Ok(())
}
