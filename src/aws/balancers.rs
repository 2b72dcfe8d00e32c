//! A cluster's load balancers, found by the tag that the AWS Load Balancer Controller sets.

use std::time::Duration;

use aws_sdk_ec2::types::Filter;
use aws_sdk_elasticloadbalancingv2::types::LoadBalancerAttribute;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{Aws, classify, is_missing};
use crate::task::{ErrorExt, Poll, Result, Task};

/// The tag on load balancers, target groups and security groups; its value is the cluster's name.
pub const TAG: &str = "elbv2.k8s.aws/cluster";
/// The most resources that one `DescribeTags` call accepts.
const CHUNK: usize = 20;

/// Between two checks of what remains.
const POLL: Duration = Duration::from_secs(3);
/// A load balancer releases its network interfaces, and with them its security groups, within a few minutes.
const DEADLINE: Duration = Duration::from_mins(10);

/// What the controller created for a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Balancers {
    /// ARNs.
    pub load_balancers: Vec<String>,
    /// ARNs.
    pub target_groups: Vec<String>,
    /// Ids.
    pub security_groups: Vec<String>,
}

impl Balancers {
    pub fn is_empty(&self) -> bool {
        self.load_balancers.is_empty() && self.target_groups.is_empty() && self.security_groups.is_empty()
    }

    /// Readable names of all of them.
    pub fn names(&self) -> Vec<String> {
        let short = |arn: &String| arn.rsplit(':').next().unwrap_or(arn).to_owned();
        let groups = self.security_groups.iter().map(|id| format!("security group {id}"));
        self.load_balancers.iter().chain(&self.target_groups).map(short).chain(groups).collect()
    }
}

/// The cluster's load balancers, target groups and security groups.
pub async fn of_cluster(aws: &Aws, aws_region: &str, cluster: &str) -> Result<Balancers> {
    found(aws, aws_region, cluster)
        .await
        .doing(format!("list the load balancers of cluster `{cluster}` in `{aws_region}`"))
}

async fn found(aws: &Aws, aws_region: &str, cluster: &str) -> Result<Balancers> {
    let config = aws.in_region(aws_region);
    let elb = aws_sdk_elasticloadbalancingv2::Client::new(&config);
    let pages = elb.describe_load_balancers().into_paginator().items().send();
    let balancers = pages.collect::<Result<Vec<_>, _>>().await.map_err(classify)?;
    let balancers = balancers.into_iter().filter_map(|balancer| balancer.load_balancer_arn).collect();
    let pages = elb.describe_target_groups().into_paginator().items().send();
    let groups = pages.collect::<Result<Vec<_>, _>>().await.map_err(classify)?;
    let groups = groups.into_iter().filter_map(|group| group.target_group_arn).collect();
    let filter = Filter::builder().name(format!("tag:{TAG}")).values(cluster).build();
    let ec2 = aws_sdk_ec2::Client::new(&config);
    let security = ec2.describe_security_groups().filters(filter).send().await.map_err(classify)?;
    Ok(Balancers {
        load_balancers: tagged(&elb, balancers, cluster).await?,
        target_groups: tagged(&elb, groups, cluster).await?,
        security_groups: security
            .security_groups()
            .iter()
            .filter_map(|group| group.group_id.clone())
            .collect(),
    })
}

async fn tagged(
    elb: &aws_sdk_elasticloadbalancingv2::Client,
    arns: Vec<String>,
    cluster: &str,
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for chunk in arns.chunks(CHUNK) {
        let described = match elb.describe_tags().set_resource_arns(Some(chunk.to_vec())).send().await {
            Ok(described) => described,
            // One of them was deleted after it was listed, which fails the whole call. The retry lists
            // without it.
            Err(error) if is_missing(&error) => {
                return Err(crate::task::Error::transient(
                    "a load balancer was deleted while its tags were read",
                ));
            }
            Err(error) => return Err(classify(error)),
        };
        for one in described.tag_descriptions() {
            let ours = one.tags().iter().any(|tag| tag.key() == Some(TAG) && tag.value() == Some(cluster));
            found.extend(one.resource_arn.clone().filter(|_| ours));
        }
    }
    Ok(found)
}

/// Deletes what a deleted cluster's controller left behind, and returns the names of what that was.
///
/// # Errors
/// When something still remains after 10 minutes.
pub async fn sweep(task: &Task, aws: &Aws, aws_region: &str, cluster: &str) -> Result<Vec<String>> {
    let names = of_cluster(aws, aws_region, cluster).await?.names();
    if names.is_empty() {
        return Ok(names);
    }
    task.wait("the deletion of the load balancers that the cluster left behind", POLL, DEADLINE, || async {
        let remaining = of_cluster(aws, aws_region, cluster).await?;
        if remaining.is_empty() {
            return Ok(Poll::Ready(()));
        }
        delete(aws, aws_region, &remaining).await?;
        Ok(Poll::Pending(remaining.names().join(", ")))
    })
    .await?;
    Ok(names)
}

/// One round. What is still in use (a target group by a load balancer, a security group by another one or by
/// a network interface) is refused, and deleted in a later round.
async fn delete(aws: &Aws, aws_region: &str, remaining: &Balancers) -> Result<()> {
    let config = aws.in_region(aws_region);
    let elb = aws_sdk_elasticloadbalancingv2::Client::new(&config);
    for arn in &remaining.load_balancers {
        match elb.delete_load_balancer().load_balancer_arn(arn).send().await {
            // It has deletion protection: deleted in the next round.
            Err(error) if error.code() == Some("OperationNotPermitted") => unprotect(&elb, arn).await?,
            Err(error) if !is_missing(&error) => return Err(classify(error)),
            _ => {}
        }
    }
    for arn in &remaining.target_groups {
        match elb.delete_target_group().target_group_arn(arn).send().await {
            Err(error) if !is_in_use(error.code()) && !is_missing(&error) => return Err(classify(error)),
            _ => {}
        }
    }
    let ec2 = aws_sdk_ec2::Client::new(&config);
    for id in &remaining.security_groups {
        match ec2.delete_security_group().group_id(id).send().await {
            Err(error) if !is_in_use(error.code()) && !is_missing(&error) => return Err(classify(error)),
            _ => {}
        }
    }
    Ok(())
}

async fn unprotect(elb: &aws_sdk_elasticloadbalancingv2::Client, arn: &str) -> Result<()> {
    let off = LoadBalancerAttribute::builder().key("deletion_protection.enabled").value("false").build();
    let modify = elb.modify_load_balancer_attributes().load_balancer_arn(arn).attributes(off);
    modify.send().await.map_err(classify)?;
    Ok(())
}

fn is_in_use(code: Option<&str>) -> bool {
    matches!(code, Some("ResourceInUse" | "DependencyViolation"))
}
