//! An EKS cluster and its node groups.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_eks::Client;

use super::{Aws, classify, is_missing};
use crate::task::{ErrorExt, Result};

/// Whether a cluster of this name exists, in any state.
pub async fn exists(aws: &Aws, aws_region: &str, cluster: &str) -> Result<bool> {
    let eks = Client::new(&aws.in_region(aws_region));
    match eks.describe_cluster().name(cluster).send().await {
        Ok(_) => Ok(true),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(classify(error)).doing(format!("find cluster `{cluster}` in `{aws_region}`")),
    }
}

/// The image release of each node group of a cluster, by the group's name; empty if the cluster does not exist.
///
/// # Errors
/// When AWS cannot be asked.
pub async fn node_releases(aws: &SdkConfig, cluster: &str) -> Result<BTreeMap<String, String>> {
    let eks = Client::new(aws);
    let doing = || format!("read the node groups of cluster `{cluster}`");
    let listed = eks.list_nodegroups().cluster_name(cluster).into_paginator().items().send();
    let names = match listed.collect::<Result<Vec<String>, _>>().await {
        Ok(names) => names,
        Err(error) if is_missing(&error) => return Ok(BTreeMap::new()),
        Err(error) => return Err(classify(error)).doing(doing()),
    };
    let mut releases = BTreeMap::new();
    for name in names {
        let described = eks.describe_nodegroup().cluster_name(cluster).nodegroup_name(&name).send().await;
        let group = match described {
            Ok(described) => described.nodegroup,
            // It was deleted after it was listed.
            Err(error) if is_missing(&error) => None,
            Err(error) => return Err(classify(error)).doing(doing()),
        };
        releases.extend(group.and_then(|group| group.release_version).map(|release| (name, release)));
    }
    Ok(releases)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubernetes::testing::Server;

    async fn read(cluster: &str) -> BTreeMap<String, String> {
        let server = Server::start(|call| match call.path.as_str() {
            "/clusters/payments-spain/node-groups" => (200, json!({ "nodegroups": ["system", "gone"] })),
            "/clusters/payments-spain/node-groups/system" => {
                (200, json!({ "nodegroup": { "releaseVersion": "1.35.0-20251112" } }))
            }
            _ => (404, json!({ "__type": "ResourceNotFoundException", "message": "no such thing" })),
        })
        .await;
        node_releases(&server.aws().in_region("eu-south-2"), cluster).await.unwrap()
    }

    #[tokio::test]
    async fn a_group_is_named_with_the_release_of_its_image() {
        let expected = BTreeMap::from([("system".to_owned(), "1.35.0-20251112".to_owned())]);
        assert_eq!(read("payments-spain").await, expected);
    }

    #[tokio::test]
    async fn a_cluster_that_does_not_exist_has_no_groups() {
        assert!(read("payments-mexico").await.is_empty());
    }
}
