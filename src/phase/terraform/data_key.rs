//! The region's data key, which outlives its stack for as long as anything encrypted with it does.
//!
//! A final snapshot, a retained backup or a secret in its recovery window is read with the key that encrypted it, and a
//! key that is scheduled for deletion decrypts nothing. So
//!
//! 1. just before the stack's deletion, when the database has left its snapshots, Terraform forgets the key and its
//!    alias where they are needed (`keep_if_needed`);
//! 2. the next `up` finds the key by its alias, and imports both (`kept`). Without that, the new key's alias would
//!    conflict with the old one's.
//!
//! Both may be interrupted and repeated: a key that is in no state is found by its alias, and one that is in the state
//! already is not imported again.

use std::collections::BTreeMap;

use super::{
    command::{REMOVE, Terraform},
    lock,
    orphans::Import,
};
use crate::{
    aws::{
        classify,
        key::{Key, Setting},
        state_file::StateFile,
    },
    config::{Profile, Region},
    step::{Context, ErrorExt, Result},
};

/// The addresses of the key and of its alias in the stack.
const KEY: &str = "module.key.aws_kms_key.this";
const ALIAS: &str = "module.key.aws_kms_alias.this";

/// Without the key, these are lost.
#[derive(Debug, Default, PartialEq, Eq)]
struct Uses {
    snapshots: usize,
    backups: usize,
}

fn key(cx: &Context, region: &Region) -> (String, Key) {
    let alias = cx.world.config.data_key_alias(&region.name);
    let aws = cx.world.aws.in_region(&region.aws_region);
    let key = Key::new(&aws, &region.aws_region, &alias, "");
    (alias, key)
}

/// The region's key and its alias, for the stack to import. A key of another owner under our alias is not taken over:
/// creating the alias then fails, and names it.
pub(super) async fn kept(cx: &Context, region: &Region) -> Result<Vec<Import>> {
    let (alias, key) = key(cx, region);
    let Some(arn) = key.find().await? else { return Ok(Vec::new()) };
    let ours =
        BTreeMap::from([("Project", cx.world.config.project.as_str()), ("Region", region.name.as_str())]);
    if key.missing(&arn, &ours).await?.contains(&Setting::Tags) {
        return Ok(Vec::new());
    }
    let import = |address: &str, id: &str| Import { address: address.to_owned(), id: id.to_owned() };
    Ok(vec![import(KEY, id(&arn)), import(ALIAS, &alias)])
}

fn id(arn: &str) -> &str {
    arn.rsplit_once('/').map_or(arn, |(_, id)| id)
}

/// Whether `keep_if_needed` would keep the key, as far as that is known by now: a database that is deleted before the
/// key's stack may leave snapshots.
pub(super) async fn must_outlive(cx: &Context, region: &Region) -> Result<bool> {
    Ok(needed(cx, region).await?.is_some())
}

/// The alias of the key if it must outlive the stack, and why.
async fn needed(cx: &Context, region: &Region) -> Result<Option<(String, String)>> {
    let (alias, key) = key(cx, region);
    // Without its alias, uses of the key are not found, but the profile alone may demand that it is kept.
    let uses = match key.find_in_any_state().await? {
        Some(arn) => uses(cx, region, &arn).await?,
        None => Uses::default(),
    };
    Ok(reason(cx.world.config.profile, &uses).map(|reason| (alias, reason)))
}

/// Removes the key and its alias from the state if they must outlive the stack, and reports why.
pub(super) async fn keep_if_needed(
    terraform: &Terraform<'_>,
    region: &Region,
    state: &StateFile,
) -> Result<Option<String>> {
    let cx = terraform.cx;
    if state.keys.is_empty() {
        return Ok(None);
    }
    let Some((alias, reason)) = needed(cx, region).await? else { return Ok(None) };
    terraform.prepare().await?;
    cx.progress(format!("keeping key {alias}"));
    let forget = terraform.command(["state", "rm"])?.args(&state.keys);
    let lock = lock::hold(terraform, REMOVE).await?;
    let forgotten = forget.run(cx).await;
    lock.release(terraform).await;
    forgotten.doing(format!("keep key `{alias}` while its stack is deleted"))?;
    Ok(Some(format!("key {alias} remains: {reason}")))
}

fn reason(profile: Profile, uses: &Uses) -> Option<String> {
    let counted = [(uses.snapshots, "snapshots"), (uses.backups, "retained backups")];
    let counted: Vec<String> = counted
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    match (counted.as_slice(), profile) {
        ([], Profile::Staging) => None,
        // Secrets stay restorable for a month in production, and whoever restores one needs the key.
        ([], Profile::Production) => Some("`production` deletes no key".to_owned()),
        (counted, _) => Some(format!("{} can only be read with it", counted.join(" and "))),
    }
}

/// What RDS keeps of databases that the key encrypted. The database itself is deleted before this stack.
async fn uses(cx: &Context, region: &Region, arn: &str) -> Result<Uses> {
    let rds = aws_sdk_rds::Client::new(&cx.world.aws.in_region(&region.aws_region));
    let doing = || format!("list the snapshots and backups that key `{arn}` encrypts");
    let snapshots = rds.describe_db_snapshots().into_paginator().items().send();
    let snapshots: Vec<_> = snapshots.collect::<Result<_, _>>().await.map_err(classify).doing(doing())?;
    let backups = rds.describe_db_instance_automated_backups().into_paginator().items().send();
    let backups: Vec<_> = backups.collect::<Result<_, _>>().await.map_err(classify).doing(doing())?;
    Ok(Uses {
        snapshots: snapshots.iter().filter(|one| one.kms_key_id() == Some(arn)).count(),
        backups: backups.iter().filter(|one| one.kms_key_id() == Some(arn)).count(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_staging_a_key_is_deleted_unless_a_snapshot_or_a_backup_needs_it() {
        assert_eq!(reason(Profile::Staging, &Uses::default()), None);
        let reason = reason(Profile::Staging, &Uses { snapshots: 2, backups: 0 }).unwrap();
        assert_eq!(reason, "2 snapshots can only be read with it");
    }

    #[test]
    fn in_production_a_key_outlives_its_stack() {
        assert_eq!(reason(Profile::Production, &Uses::default()).unwrap(), "`production` deletes no key");
        let reason = reason(Profile::Production, &Uses { snapshots: 1, backups: 1 }).unwrap();
        assert_eq!(reason, "1 snapshots and 1 retained backups can only be read with it");
    }

    #[test]
    fn terraform_imports_a_key_by_its_id() {
        assert_eq!(id("arn:aws:kms:eu-south-2:123456789012:key/1234-5678"), "1234-5678");
    }
}
