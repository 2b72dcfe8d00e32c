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
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        kubernetes::testing::{Call, Server},
        step::Class,
    };

    /// EKS with at most one access entry: its groups, and when it was created. The role was created at [`ROLE_CREATED`].
    struct Eks {
        entry: Option<(Vec<String>, i64)>,
        /// Changing calls until the fault.
        before: u32,
        /// Calls that meet the fault.
        faults: u32,
        /// EKS acts, and its answer is lost.
        acts: bool,
    }

    const ROLE_CREATED: i64 = 100;

    impl Eks {
        fn answer(&mut self, call: &Call) -> (u16, Value) {
            if call.method == "POST" && call.path == "/" {
                let role = "<Role><CreateDate>1970-01-01T00:01:40Z</CreateDate></Role>";
                return (
                    200,
                    json!(format!(
                        "<GetRoleResponse><GetRoleResult>{role}</GetRoleResult></GetRoleResponse>"
                    )),
                );
            }
            if call.method == "GET" {
                return self.read();
            }
            if self.before > 0 || self.faults == 0 {
                self.before = self.before.saturating_sub(1);
                return self.change(call);
            }
            self.faults -= 1;
            if self.acts {
                self.change(call);
            }
            (500, json!({ "__type": "ServerException", "message": "lost" }))
        }

        fn read(&self) -> (u16, Value) {
            match &self.entry {
                Some((groups, created)) => {
                    (200, json!({ "accessEntry": { "kubernetesGroups": groups, "createdAt": created } }))
                }
                None => (404, json!({ "__type": "ResourceNotFoundException", "message": "no entry" })),
            }
        }

        fn change(&mut self, call: &Call) -> (u16, Value) {
            let groups = || {
                let body: Value = serde_json::from_str(&call.body).unwrap();
                serde_json::from_value(body["kubernetesGroups"].clone()).unwrap()
            };
            let is_creation = call.path.ends_with("/access-entries");
            match (call.method.as_str(), &mut self.entry) {
                ("POST", Some(_)) if is_creation => {
                    return (409, json!({ "__type": "ResourceInUseException", "message": "exists" }));
                }
                ("POST", entry) if is_creation => *entry = Some((groups(), ROLE_CREATED + 1)),
                ("POST", Some((current, _))) => *current = groups(),
                ("DELETE", entry @ Some(_)) => *entry = None,
                _ => return (404, json!({ "__type": "ResourceNotFoundException", "message": "no entry" })),
            }
            (200, json!({}))
        }
    }

    /// Attempts as the engine makes them, until the entry is as wanted. Returns its groups.
    async fn converge(eks: Eks) -> Vec<String> {
        let eks = Arc::new(Mutex::new(eks));
        let shared = eks.clone();
        let aws = Server::start(move |call| shared.lock().unwrap().answer(call)).await.aws();
        let (region, cluster, role) =
            ("eu-south-2", "payments-spain", "arn:aws:iam::123456789012:role/argocd");
        let mut attempts = 0;
        while let Some(found) = drift(&aws, region, cluster, role).await.unwrap() {
            attempts += 1;
            assert!(attempts < 4, "{found} after three attempts");
            if let Err(error) = apply(&aws, region, cluster, role, found, &BTreeMap::new()).await {
                assert_eq!(error.class, Class::Transient, "{error}");
            }
        }
        let (groups, created) = eks.lock().unwrap().entry.clone().unwrap();
        assert!(created >= ROLE_CREATED, "the entry is of an earlier role");
        groups
    }

    #[tokio::test]
    async fn whatever_call_fails_the_next_attempts_set_the_entry() {
        let other = || vec!["admins".to_owned()];
        let entries =
            [None, Some((other(), ROLE_CREATED)), Some((vec![GROUP.to_owned()], 1)), Some((other(), 1))];
        let mut runs = Vec::new();
        for entry in entries {
            for before in 0..2 {
                for (faults, acts) in [(1, true), (1, false), (3, true), (3, false)] {
                    runs.push(converge(Eks { entry: entry.clone(), before, faults, acts }));
                }
            }
        }
        for groups in futures::future::join_all(runs).await {
            assert_eq!(groups, [GROUP]);
        }
    }

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
