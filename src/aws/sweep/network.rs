//! What remains in a region's network before the stack deletes it.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_ec2::{Client, types::Filter};
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use super::{
    Scope,
    plan::{Fate, Owner},
};
use crate::{
    aws::{classify, is_missing},
    task::{Error, ErrorExt, Poll, Result},
};

/// Between two reads of the network.
const INTERVAL: Duration = Duration::from_secs(3);
/// Load balancers, proxies and nodes release their interfaces within minutes of their deletion.
const DEADLINE: Duration = Duration::from_mins(10);

/// What was found in a network.
#[derive(Default)]
struct Found {
    endpoints: Vec<String>,
    interfaces: Vec<String>,
    groups: Vec<String>,
    waiting: Vec<String>,
    foreign: Vec<String>,
}

impl Found {
    fn take(&mut self, fate: Fate, id: Option<&str>, into: fn(&mut Self) -> &mut Vec<String>) {
        match fate {
            Fate::Managed => {}
            Fate::Delete => into(self).extend(id.map(str::to_owned)),
            Fate::Wait(what) => self.waiting.push(what),
            Fate::Foreign(what) => self.foreign.push(what),
        }
    }

    fn ours(&self) -> impl Iterator<Item = &String> {
        self.endpoints.iter().chain(&self.interfaces).chain(&self.groups)
    }
}

/// Deletes the leftovers in the region's networks, and waits until they are deleted. Returns the ids of what that was.
///
/// # Errors
/// When something of others is in a network, which is never deleted: names each with its owner and the command that
/// deletes it. When something remains after the deadline.
pub async fn network(scope: Scope<'_>) -> Result<Vec<String>> {
    let ec2 = Client::new(&scope.aws.in_region(scope.aws_region));
    let mut swept = Vec::new();
    for vpc in networks(&ec2, scope).await? {
        swept.extend(sweep(&ec2, scope, &vpc).await?);
    }
    Ok(swept)
}

async fn networks(ec2: &Client, scope: Scope<'_>) -> Result<Vec<String>> {
    let tag = |key: &str, value: &str| Filter::builder().name(format!("tag:{key}")).values(value).build();
    let found = ec2
        .describe_vpcs()
        .filters(tag("Project", scope.project))
        .filters(tag("Region", scope.region))
        .send()
        .await;
    let found = found.map_err(classify).doing(format!("find the network of region `{}`", scope.region))?;
    Ok(found.vpcs().iter().filter_map(|vpc| vpc.vpc_id.clone()).collect())
}

async fn sweep(ec2: &Client, scope: Scope<'_>, vpc: &str) -> Result<Vec<String>> {
    let swept: Mutex<BTreeSet<String>> = Mutex::default();
    let what = format!("network `{vpc}` to be empty");
    let emptied = scope.task.wait(&what, INTERVAL, DEADLINE, || async {
        let found = find(ec2, scope, vpc).await?;
        if !found.foreign.is_empty() {
            return Err(foreign(vpc, &found.foreign));
        }
        swept.lock().unwrap_or_else(PoisonError::into_inner).extend(found.ours().cloned());
        delete(ec2, &found).await?;
        let pending: Vec<&str> = found.ours().chain(&found.waiting).map(String::as_str).collect();
        Ok(if pending.is_empty() { Poll::Ready(()) } else { Poll::Pending(pending.join(", ")) })
    });
    emptied.await.hint("delete what owns the above, then run the same command again")?;
    Ok(swept.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect())
}

fn foreign(vpc: &str, found: &[String]) -> Error {
    let list = found.join("\n");
    Error::permanent(format!("network `{vpc}` contains resources that paydeploy did not create:\n{list}"))
        .with_hint(
            "move them elsewhere, or delete them with the commands above; then run the same command again",
        )
}

async fn find(ec2: &Client, scope: Scope<'_>, vpc: &str) -> Result<Found> {
    let Scope { aws_region, project, region, cluster, .. } = scope;
    let owner = Owner { aws_region, project, region, cluster };
    let within = || Filter::builder().name("vpc-id").values(vpc).build();
    let doing = || format!("list what is in network `{vpc}`");
    let mut found = Found::default();
    let pages = ec2.describe_vpc_endpoints().filters(within()).into_paginator().items().send();
    for one in pages.collect::<Result<Vec<_>, _>>().await.map_err(classify).doing(doing())? {
        found.take(owner.endpoint(&one), one.vpc_endpoint_id(), |found| &mut found.endpoints);
    }
    let pages = ec2.describe_network_interfaces().filters(within()).into_paginator().items().send();
    for one in pages.collect::<Result<Vec<_>, _>>().await.map_err(classify).doing(doing())? {
        found.take(owner.interface(&one), one.network_interface_id(), |found| &mut found.interfaces);
    }
    let pages = ec2.describe_security_groups().filters(within()).into_paginator().items().send();
    for one in pages.collect::<Result<Vec<_>, _>>().await.map_err(classify).doing(doing())? {
        found.take(owner.group(&one), one.group_id(), |found| &mut found.groups);
    }
    Ok(found)
}

/// One round. What is still in use is refused, and deleted in a later round.
async fn delete(ec2: &Client, found: &Found) -> Result<()> {
    if !found.endpoints.is_empty() {
        let delete = ec2.delete_vpc_endpoints().set_vpc_endpoint_ids(Some(found.endpoints.clone()));
        delete.send().await.map_err(classify).doing("delete the endpoints of GuardDuty")?;
    }
    for id in &found.interfaces {
        match ec2.delete_network_interface().network_interface_id(id).send().await {
            Err(error) if !is_missing(&error) && !is_in_use(error.code()) => {
                return Err(classify(error)).doing(format!("delete network interface `{id}`"));
            }
            _ => {}
        }
    }
    for id in &found.groups {
        match ec2.delete_security_group().group_id(id).send().await {
            Err(error) if !is_missing(&error) && !is_in_use(error.code()) => {
                return Err(classify(error)).doing(format!("delete security group `{id}`"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_in_use(code: Option<&str>) -> bool {
    matches!(code, Some("DependencyViolation" | "InvalidNetworkInterface.InUse" | "InvalidParameterValue"))
}
