//! The access entry of Argo CD's role in a spoke's cluster.

use std::{collections::BTreeMap, fmt};

use aws_sdk_eks::{Client, operation::create_access_entry::CreateAccessEntryError, types::AccessEntry};
use aws_smithy_types::DateTime;

use super::GROUP;
use crate::{
    aws::{self, Aws},
    step::{ErrorExt, Result},
};

/// How the entry differs from the wanted one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Drift {
    Missing,
    /// It maps the role to other groups.
    Groups,
    /// It was created for an earlier role of this name. EKS compares the role's unique id, but does not return it, so
    /// only the creation times show this.
    Stale,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "access entry for Argo CD is missing",
            Self::Groups => "access entry for Argo CD has other groups",
            Self::Stale => "access entry for Argo CD is older than its role and has no effect",
        })
    }
}

/// How the entry differs; `None` if it does not.
pub(super) async fn drift(aws: &Aws, region: &str, cluster: &str, role: &str) -> Result<Option<Drift>> {
    let eks = Client::new(&aws.in_region(region));
    let described = eks.describe_access_entry().cluster_name(cluster).principal_arn(role).send().await;
    let entry = match described {
        Ok(described) => described.access_entry,
        Err(error) if aws::is_missing(&error) => None,
        Err(error) => {
            return Err(aws::classify(error)).doing(format!("read the access entries of `{cluster}`"));
        }
    };
    let Some(entry) = entry else { return Ok(Some(Drift::Missing)) };
    let created = role_created(aws, region, role).await?;
    Ok(judge(&entry, created.as_ref()))
}

fn judge(entry: &AccessEntry, role_created: Option<&DateTime>) -> Option<Drift> {
    if let (Some(entry), Some(role)) = (entry.created_at(), role_created)
        && entry.secs() < role.secs()
    {
        return Some(Drift::Stale);
    }
    (entry.kubernetes_groups() != [GROUP]).then_some(Drift::Groups)
}

/// When the role was created; `None` if this principal is not allowed to read it.
async fn role_created(aws: &Aws, region: &str, role: &str) -> Result<Option<DateTime>> {
    use aws_smithy_types::error::metadata::ProvideErrorMetadata;
    let iam = aws_sdk_iam::Client::new(&aws.in_region(region));
    let name = role.rsplit('/').next().unwrap_or(role);
    match iam.get_role().role_name(name).send().await {
        Ok(found) => Ok(found.role.map(|role| role.create_date)),
        Err(error) if matches!(error.code(), Some("AccessDenied" | "AccessDeniedException")) => Ok(None),
        Err(error) => Err(aws::classify(error)).doing(format!("read role `{role}`")),
    }
}

/// Creates or updates the entry. An entry that another run created in the meantime is adopted.
pub(super) async fn apply(
    aws: &Aws,
    region: &str,
    cluster: &str,
    role: &str,
    drift: Drift,
    tags: &BTreeMap<&str, &str>,
) -> Result<()> {
    let eks = Client::new(&aws.in_region(region));
    let doing = || format!("set the access entry of Argo CD's role in cluster `{cluster}`");
    if drift == Drift::Stale {
        delete(&eks, cluster, role).await?;
    }
    if drift != Drift::Groups {
        let create = eks.create_access_entry().cluster_name(cluster).principal_arn(role);
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        match create.kubernetes_groups(GROUP).set_tags(Some(tags)).send().await {
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

/// Deletes the entries of all principals that are mapped to our group, and returns these principals.
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

    fn entry(groups: &[&str], created: i64) -> AccessEntry {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        AccessEntry::builder()
            .set_kubernetes_groups(Some(groups))
            .created_at(DateTime::from_secs(created))
            .build()
    }

    #[test]
    fn an_entry_older_than_its_role_is_stale() {
        let role = DateTime::from_secs(100);
        assert_eq!(judge(&entry(&[GROUP], 99), Some(&role)), Some(Drift::Stale));
        assert_eq!(judge(&entry(&[GROUP], 100), Some(&role)), None);
        assert_eq!(judge(&entry(&[GROUP], 99), None), None);
    }

    #[test]
    fn an_entry_must_have_our_group_and_no_other() {
        assert_eq!(judge(&entry(&[], 1), None), Some(Drift::Groups));
        assert_eq!(judge(&entry(&[GROUP, "admins"], 1), None), Some(Drift::Groups));
    }
}
