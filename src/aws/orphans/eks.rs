//! Of EKS. Its names are unique, and its answers contain the tags.

use std::collections::HashMap;

use aws_sdk_eks::Client;
use aws_smithy_types::DateTime;

use super::{Candidate, Finder, Standing, known, standing};
use crate::task::{ErrorExt, Result};

/// What EKS says about a resource.
struct Answer<'a> {
    id: String,
    arn: Option<&'a str>,
    created: Option<&'a DateTime>,
    tags: Option<&'a HashMap<String, String>>,
    status: Option<&'a str>,
}

impl Answer<'_> {
    /// None while it is deleted.
    fn candidate(self) -> Vec<Candidate> {
        if self.status == Some("DELETING") {
            return Vec::new();
        }
        // A degraded add-on or group works, or Terraform reports what it lacks.
        let ready = ["ACTIVE", "DEGRADED", "UPDATING", "UPDATE_FAILED", "DELETE_FAILED"];
        vec![Candidate {
            id: self.id,
            arn: self.arn.map(str::to_owned),
            created: self.created.map(DateTime::secs),
            tags: Some(
                self.tags.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect(),
            ),
            standing: match self.status {
                None => Standing::Ready,
                status => standing(status, &ready, &["FAILED", "CREATE_FAILED"]),
            },
        }]
    }
}

impl Finder<'_> {
    fn eks(&self) -> Client {
        Client::new(&self.aws)
    }

    pub(super) async fn cluster(&self, name: &str) -> Result<Vec<Candidate>> {
        let found = known(self.eks().describe_cluster().name(name).send().await);
        let found = found.doing(format!("look for cluster `{name}`"))?.and_then(|found| found.cluster);
        Ok(found.map_or_else(Vec::new, |one| {
            let status = one.status().map(aws_sdk_eks::types::ClusterStatus::as_str);
            let (arn, created, tags) = (one.arn(), one.created_at(), one.tags());
            Answer { id: name.to_owned(), arn, created, tags, status }.candidate()
        }))
    }

    pub(super) async fn node_group(&self, cluster: &str, name: &str) -> Result<Vec<Candidate>> {
        let found =
            known(self.eks().describe_nodegroup().cluster_name(cluster).nodegroup_name(name).send().await);
        let found =
            found.doing(format!("look for node group `{cluster}/{name}`"))?.and_then(|found| found.nodegroup);
        Ok(found.map_or_else(Vec::new, |one| {
            let status = one.status().map(aws_sdk_eks::types::NodegroupStatus::as_str);
            let (arn, created, tags) = (one.nodegroup_arn(), one.created_at(), one.tags());
            Answer { id: format!("{cluster}:{name}"), arn, created, tags, status }.candidate()
        }))
    }

    pub(super) async fn addon(&self, cluster: &str, name: &str) -> Result<Vec<Candidate>> {
        let found = known(self.eks().describe_addon().cluster_name(cluster).addon_name(name).send().await);
        let found =
            found.doing(format!("look for add-on `{name}` of `{cluster}`"))?.and_then(|found| found.addon);
        Ok(found.map_or_else(Vec::new, |one| {
            // Without nodes a new add-on stays in CREATING or becomes DEGRADED. It waits for the node group, which the
            // same plan creates, so waiting for it would never end.
            let status = one.status().map(aws_sdk_eks::types::AddonStatus::as_str);
            let status = status.filter(|status| *status != "CREATING");
            let (arn, created, tags) = (one.addon_arn(), one.created_at(), one.tags());
            Answer { id: format!("{cluster}:{name}"), arn, created, tags, status }.candidate()
        }))
    }

    pub(super) async fn access_entry(&self, cluster: &str, principal: &str) -> Result<Vec<Candidate>> {
        let asked =
            self.eks().describe_access_entry().cluster_name(cluster).principal_arn(principal).send().await;
        let found =
            known(asked).doing(format!("look for the access entry of `{principal}` in `{cluster}`"))?;
        // It does not matter who created it, and administrators often do so by hand: EKS has one entry per principal, and the
        // configuration names the principal. Kubernetes groups that a person has added to it stay.
        Ok(found.and_then(|found| found.access_entry).map_or_else(Vec::new, |one| {
            let id = format!("{cluster}:{principal}");
            vec![Candidate { id, arn: one.access_entry_arn, ..Candidate::default() }]
        }))
    }
}
