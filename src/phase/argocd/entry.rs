//! The access entry of Argo CD's role in a spoke's cluster.

use std::fmt;

use aws_sdk_eks::{Client, operation::create_access_entry::CreateAccessEntryError, types::AccessEntry};
use aws_smithy_types::DateTime;

use super::GROUP;
use crate::{
    aws::{self, Aws},
    step::{ErrorExt, Result},
};

/// What is wrong with the entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lag {
    Missing,
    /// It gives other groups.
    Groups,
    /// It was created for a deleted role of this name: EKS compares the role's unique id, which it shows nowhere.
    Dead,
}

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "access entry for Argo CD is missing",
            Self::Groups => "access entry for Argo CD gives other groups",
            Self::Dead => "access entry for Argo CD is older than its role, and has no effect",
        })
    }
}

/// How the entry is; `None` when it is as wanted.
pub(super) async fn lag(aws: &Aws, region: &str, cluster: &str, role: &str) -> Result<Option<Lag>> {
    let eks = Client::new(&aws.in_region(region));
    let described = eks.describe_access_entry().cluster_name(cluster).principal_arn(role).send().await;
    let entry = match described {
        Ok(described) => described.access_entry,
        Err(error) if aws::is_missing(&error) => None,
        Err(error) => {
            return Err(aws::classify(error)).doing(format!("read the access entries of `{cluster}`"));
        }
    };
    let Some(entry) = entry else { return Ok(Some(Lag::Missing)) };
    let made = role_made(aws, region, role).await?;
    Ok(judge(&entry, made.as_ref()))
}

fn judge(entry: &AccessEntry, role_made: Option<&DateTime>) -> Option<Lag> {
    if let (Some(entry), Some(role)) = (entry.created_at(), role_made)
        && entry.secs() < role.secs()
    {
        return Some(Lag::Dead);
    }
    (entry.kubernetes_groups() != [GROUP]).then_some(Lag::Groups)
}

/// When the role was created; `None` without the permission to read it.
async fn role_made(aws: &Aws, region: &str, role: &str) -> Result<Option<DateTime>> {
    use aws_smithy_types::error::metadata::ProvideErrorMetadata;
    let iam = aws_sdk_iam::Client::new(&aws.in_region(region));
    let name = role.rsplit('/').next().unwrap_or(role);
    match iam.get_role().role_name(name).send().await {
        Ok(found) => Ok(found.role.map(|role| role.create_date)),
        Err(error) if matches!(error.code(), Some("AccessDenied" | "AccessDeniedException")) => Ok(None),
        Err(error) => Err(aws::classify(error)).doing(format!("read role `{role}`")),
    }
}

/// Creates or updates the entry. One that another run created in between is adopted.
pub(super) async fn apply(aws: &Aws, region: &str, cluster: &str, role: &str, lag: Lag) -> Result<()> {
    let eks = Client::new(&aws.in_region(region));
    let doing = || format!("give Argo CD's role an access entry in cluster `{cluster}`");
    if lag == Lag::Dead {
        delete(&eks, cluster, role).await?;
    }
    if lag != Lag::Groups {
        let create = eks.create_access_entry().cluster_name(cluster).principal_arn(role);
        match create.kubernetes_groups(GROUP).send().await {
            Ok(_) => return Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(CreateAccessEntryError::is_resource_in_use_exception) => {}
            Err(error) => return Err(aws::classify(error)).doing(doing()),
        }
    }
    let update = eks.update_access_entry().cluster_name(cluster).principal_arn(role);
    update.kubernetes_groups(GROUP).send().await.map_err(aws::classify).doing(doing())?;
    Ok(())
}

/// Deletes every entry that gives our group, for any principal; returns the principals.
pub(super) async fn remove(aws: &Aws, region: &str, cluster: &str) -> Result<Vec<String>> {
    let eks = Client::new(&aws.in_region(region));
    let doing = || format!("read the access entries of `{cluster}`");
    let pages = eks.list_access_entries().cluster_name(cluster).into_paginator().items().send();
    let principals = match pages.collect::<Result<Vec<String>, _>>().await {
        Ok(principals) => principals,
        Err(error) if aws::is_missing(&error) => return Ok(Vec::new()),
        Err(error) => return Err(aws::classify(error)).doing(doing()),
    };
    let mut removed = Vec::new();
    for principal in principals {
        let describe = eks.describe_access_entry().cluster_name(cluster).principal_arn(&principal);
        let entry = match describe.send().await {
            Ok(described) => described.access_entry,
            Err(error) if aws::is_missing(&error) => None,
            Err(error) => return Err(aws::classify(error)).doing(doing()),
        };
        if entry.is_some_and(|entry| entry.kubernetes_groups().iter().any(|group| group == GROUP)) {
            delete(&eks, cluster, &principal).await?;
            removed.push(principal);
        }
    }
    Ok(removed)
}

async fn delete(eks: &Client, cluster: &str, principal: &str) -> Result<()> {
    match eks.delete_access_entry().cluster_name(cluster).principal_arn(principal).send().await {
        Ok(_) => Ok(()),
        Err(error) if aws::is_missing(&error) => Ok(()),
        Err(error) => Err(aws::classify(error)).doing(format!("delete the access entry of `{principal}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(groups: &[&str], made: i64) -> AccessEntry {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        AccessEntry::builder()
            .set_kubernetes_groups(Some(groups))
            .created_at(DateTime::from_secs(made))
            .build()
    }

    #[test]
    fn an_entry_that_is_older_than_its_role_is_dead() {
        let role = DateTime::from_secs(100);
        assert_eq!(judge(&entry(&[GROUP], 99), Some(&role)), Some(Lag::Dead));
        assert_eq!(judge(&entry(&[GROUP], 100), Some(&role)), None);
        assert_eq!(judge(&entry(&[GROUP], 99), None), None);
    }

    #[test]
    fn an_entry_gives_our_group_and_no_other() {
        assert_eq!(judge(&entry(&[], 1), None), Some(Lag::Groups));
        assert_eq!(judge(&entry(&[GROUP, "admins"], 1), None), Some(Lag::Groups));
    }
}
