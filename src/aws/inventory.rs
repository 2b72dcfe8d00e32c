//! What remains of a region after its teardown, and why.
//!
//! 1. The tagging API lists what has the region's tags. It may still list what was deleted minutes ago, so each
//!    resource's own service is asked where that is known here.
//! 2. What has no tags is looked for by its name: the cluster, its log group, its DNS records.
//!
//! A resource remains either by design, with a reason, or it is left, with the command that deletes it.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_ec2::types::{Filter, NatGatewayState, Reservation};
use aws_sdk_kms::types::KeyState;
use aws_smithy_types::{DateTime, date_time::Format};

use super::{Aws, backups, classify, cluster, is_missing, key::Key, records::Records};
use crate::task::{ErrorExt, Remaining, Result};

/// A region that was deleted.
#[derive(Clone, Copy)]
pub struct Deleted<'a> {
    pub aws_region: &'a str,
    /// The values of the tags `Project` and `Region`.
    pub project: &'a str,
    pub region: &'a str,
    /// The name of its cluster and of its database.
    pub name: &'a str,
    pub domain: &'a str,
    pub state_bucket: &'a str,
    /// The aliases of keys that remain by design, and why.
    pub keys: &'a [(String, &'static str)],
}

/// What a resource's own service says about it.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Gone,
    /// It remains by design.
    Kept(String),
    Left,
}

/// Everything that remains of a region.
pub async fn remaining(aws: &Aws, deleted: Deleted<'_>) -> Result<Vec<Remaining>> {
    let config = aws.in_region(deleted.aws_region);
    let needed = backups::needed(aws, deleted.aws_region, deleted.name).await?;
    let by_design = keys(&config, deleted).await?;
    let mut all = Vec::new();
    for arn in tagged(&config, deleted).await? {
        let standing = match standing(&config, &arn, deleted).await? {
            Standing::Left => match (needed.get(&arn), by_design.get(&arn)) {
                (Some(users), _) => Standing::Kept(format!("encrypts {}", users.join(", "))),
                (None, Some(reason)) => Standing::Kept((*reason).to_owned()),
                (None, None) => Standing::Left,
            },
            other => other,
        };
        match standing {
            Standing::Gone => {}
            Standing::Kept(reason) => all.push(kept(deleted, &arn, &reason)),
            Standing::Left => all.push(left(deleted, &arn, &command(&arn, deleted.aws_region))),
        }
    }
    for user in needed.into_values().flatten() {
        if !all.iter().any(|one| user.ends_with(one.resource.rsplit(':').next().unwrap_or_default())) {
            all.push(kept(deleted, &user, "the data of the deleted database"));
        }
    }
    all.extend(unmanaged(aws, deleted, &all).await?);
    all.sort_by(|one, other| order(one).cmp(&order(other)));
    Ok(all)
}

/// Kind by kind, and within one by the reason: many ids are random, and two teardowns should read alike.
fn order(one: &Remaining) -> (&str, &str, &str) {
    let kind = one.resource.rfind([':', '/']).map_or("", |end| &one.resource[..end]);
    (kind, &one.reason, &one.resource)
}

/// The ARNs of the keys that remain by design, and why.
async fn keys(config: &SdkConfig, deleted: Deleted<'_>) -> Result<BTreeMap<String, &'static str>> {
    let mut keys = BTreeMap::new();
    for (alias, reason) in deleted.keys {
        let key = Key::new(config, deleted.aws_region, alias, "");
        keys.extend(key.find_in_any_state().await?.map(|arn| (arn, *reason)));
    }
    Ok(keys)
}

fn kept(deleted: Deleted<'_>, resource: &str, reason: &str) -> Remaining {
    let (region, resource) = (deleted.region.to_owned(), resource.to_owned());
    Remaining { region, resource, reason: reason.to_owned(), fix: None }
}

fn left(deleted: Deleted<'_>, resource: &str, fix: &str) -> Remaining {
    let (region, resource) = (deleted.region.to_owned(), resource.to_owned());
    Remaining { region, resource, reason: "left behind".to_owned(), fix: Some(fix.to_owned()) }
}

/// The ARNs of everything with the region's tags.
async fn tagged(config: &SdkConfig, deleted: Deleted<'_>) -> Result<Vec<String>> {
    use aws_sdk_resourcegroupstagging::{Client, types::TagFilter};
    let filter = |key: &str, value: &str| TagFilter::builder().key(key).values(value).build();
    let pages = Client::new(config)
        .get_resources()
        .tag_filters(filter("Project", deleted.project))
        .tag_filters(filter("Region", deleted.region))
        .into_paginator()
        .items()
        .send();
    let found = pages.collect::<Result<Vec<_>, _>>().await.map_err(classify);
    let found = found.doing(format!("list what has the tags of region `{}`", deleted.region))?;
    let mut arns: Vec<String> = found.into_iter().filter_map(|one| one.resource_arn).collect();
    arns.sort();
    arns.dedup();
    Ok(arns)
}

/// What has no tags of ours.
async fn unmanaged(aws: &Aws, deleted: Deleted<'_>, known: &[Remaining]) -> Result<Vec<Remaining>> {
    let Deleted { aws_region, name, domain, state_bucket, .. } = deleted;
    let mut all = Vec::new();
    let is_known = |part: &str| known.iter().any(|one| one.resource.ends_with(part));
    if cluster::exists(aws, aws_region, name).await? && !is_known(&format!("cluster/{name}")) {
        all.push(left(
            deleted,
            &format!("EKS cluster {name}"),
            &delete("eks", "cluster", "--name", name, aws_region),
        ));
    }
    let group = format!("/aws/eks/{name}/cluster");
    if !is_known(&group) && has_log_group(&aws.in_region(aws_region), &group).await? {
        let fix = delete("logs", "log-group", "--log-group-name", &group, aws_region);
        all.push(left(deleted, &format!("log group {group}"), &fix));
    }
    if let Some(records) = Records::of(aws, aws_region, domain, name).await? {
        for record in records.names().await? {
            all.push(left(deleted, &format!("DNS record {record}"), "delete it in its hosted zone"));
        }
    }
    let s3 = aws_sdk_s3::Client::new(&aws.in_region(aws_region));
    if !is_known(state_bucket) && s3.head_bucket().bucket(state_bucket).send().await.is_ok() {
        all.push(kept(deleted, &format!("arn:aws:s3:::{state_bucket}"), STATE));
    }
    Ok(all)
}

const STATE: &str = "the history of the Terraform state";

async fn has_log_group(config: &SdkConfig, name: &str) -> Result<bool> {
    let logs = aws_sdk_cloudwatchlogs::Client::new(config);
    let found = logs.describe_log_groups().log_group_name_prefix(name).send().await.map_err(classify);
    let found = found.doing(format!("look for log group `{name}`"))?;
    Ok(found.log_groups().iter().any(|group| group.log_group_name() == Some(name)))
}

/// An ARN's service and what follows its account.
fn parts(arn: &str) -> (&str, &str) {
    let mut parts = arn.splitn(6, ':');
    (parts.nth(2).unwrap_or_default(), parts.nth(2).unwrap_or_default())
}

/// Asks the resource's own service. What this does not know counts as it is listed.
async fn standing(config: &SdkConfig, arn: &str, deleted: Deleted<'_>) -> Result<Standing> {
    let (service, resource) = parts(arn);
    let exists = |exists: bool| if exists { Standing::Left } else { Standing::Gone };
    let name = resource.rsplit([':', '/']).next().unwrap_or_default();
    let doing = || format!("find out whether `{arn}` exists");
    // A service that answers "not found" says that it is gone.
    macro_rules! found {
        ($call:expr) => {
            match $call.send().await {
                Ok(found) => Some(found),
                Err(error) if is_missing(&error) => None,
                Err(error) => return Err(classify(error)).doing(doing()),
            }
        };
    }
    Ok(match (service, resource.split([':', '/']).next().unwrap_or_default()) {
        ("s3", _) if resource == deleted.state_bucket => Standing::Kept(STATE.to_owned()),
        ("s3", _) => {
            exists(aws_sdk_s3::Client::new(config).head_bucket().bucket(resource).send().await.is_ok())
        }
        ("kms", "key") => {
            let kms = aws_sdk_kms::Client::new(config);
            let key = found!(kms.describe_key().key_id(arn)).and_then(|found| found.key_metadata);
            match key {
                Some(key) if key.key_state() == Some(&KeyState::PendingDeletion) => {
                    Standing::Kept(format!("scheduled for deletion on {}", day(key.deletion_date())))
                }
                key => exists(key.is_some()),
            }
        }
        ("secretsmanager", _) => {
            let secrets = aws_sdk_secretsmanager::Client::new(config);
            match found!(secrets.describe_secret().secret_id(arn)) {
                Some(secret) if secret.deleted_date().is_some() => {
                    Standing::Kept("deleted, and can be restored until its recovery window ends".to_owned())
                }
                secret => exists(secret.is_some()),
            }
        }
        ("rds", "snapshot") => Standing::Kept("the data of the deleted database".to_owned()),
        ("rds", "auto-backup") => Standing::Kept("the automated backup of the deleted database".to_owned()),
        ("rds", "db") => {
            let rds = aws_sdk_rds::Client::new(config);
            exists(found!(rds.describe_db_instances().db_instance_identifier(name)).is_some())
        }
        ("rds", "db-proxy") => {
            let rds = aws_sdk_rds::Client::new(config);
            exists(found!(rds.describe_db_proxies().db_proxy_name(deleted.name)).is_some())
        }
        ("eks", _) => {
            let eks = aws_sdk_eks::Client::new(config);
            exists(found!(eks.describe_cluster().name(deleted.name)).is_some())
        }
        ("ecr", _) => {
            let ecr = aws_sdk_ecr::Client::new(config);
            exists(found!(ecr.describe_repositories().repository_names(name)).is_some())
        }
        ("logs", _) => {
            let group = resource.trim_start_matches("log-group:").trim_end_matches(":*");
            exists(has_log_group(config, group).await?)
        }
        ("acm", _) => {
            let acm = aws_sdk_acm::Client::new(config);
            exists(found!(acm.describe_certificate().certificate_arn(arn)).is_some())
        }
        ("ec2", kind) => exists(in_ec2(config, kind, name).await.doing(doing())?),
        _ => Standing::Left,
    })
}

/// Whether EC2 still has a resource. Some remain listed for an hour after their deletion.
async fn in_ec2(config: &SdkConfig, kind: &str, id: &str) -> Result<bool> {
    let ec2 = aws_sdk_ec2::Client::new(config);
    let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
    match kind {
        "natgateway" => {
            let found = ec2.describe_nat_gateways().filter(filter("nat-gateway-id", id)).send().await;
            let found = found.map_err(classify)?;
            let lives = |state: Option<&str>| !matches!(state, Some("deleted" | "deleting" | "failed"));
            Ok(found.nat_gateways().iter().any(|one| lives(one.state().map(NatGatewayState::as_str))))
        }
        "instance" => {
            let found =
                ec2.describe_instances().filters(filter("instance-id", id)).send().await.map_err(classify)?;
            let instances = found.reservations().iter().flat_map(Reservation::instances);
            let state = |one: &aws_sdk_ec2::types::Instance| Some(one.state()?.name()?.as_str().to_owned());
            Ok(instances.map(state).any(|state| state.as_deref() != Some("terminated")))
        }
        _ => {
            let found =
                ec2.describe_tags().filters(filter("resource-id", id)).send().await.map_err(classify)?;
            Ok(!found.tags().is_empty())
        }
    }
}

fn day(date: Option<&DateTime>) -> String {
    let text = date.and_then(|date| date.fmt(Format::DateTime).ok()).unwrap_or_default();
    text.get(..10).unwrap_or("an unknown date").to_owned()
}

fn delete(service: &str, what: &str, flag: &str, name: &str, aws_region: &str) -> String {
    format!("aws {service} delete-{what} --region {aws_region} {flag} {name}")
}

/// The command that deletes a resource, where it follows from the ARN.
pub fn command(arn: &str, aws_region: &str) -> String {
    let (service, resource) = parts(arn);
    let name = resource.rsplit([':', '/']).next().unwrap_or_default();
    let (what, flag, name) = match (service, resource.split([':', '/']).next().unwrap_or_default()) {
        ("ec2", "vpc") => ("vpc", "--vpc-id", name),
        ("ec2", "subnet") => ("subnet", "--subnet-id", name),
        ("ec2", "security-group") => ("security-group", "--group-id", name),
        ("ec2", "network-interface") => ("network-interface", "--network-interface-id", name),
        ("ec2", "natgateway") => ("nat-gateway", "--nat-gateway-id", name),
        ("ec2", "volume") => ("volume", "--volume-id", name),
        ("ec2", "launch-template") => ("launch-template", "--launch-template-id", name),
        ("ec2", "internet-gateway") => ("internet-gateway", "--internet-gateway-id", name),
        ("ec2", "route-table") => ("route-table", "--route-table-id", name),
        ("ec2", "vpc-endpoint") => {
            return format!("aws ec2 delete-vpc-endpoints --region {aws_region} --vpc-endpoint-ids {name}");
        }
        ("ec2", "vpc-flow-log") => {
            return format!("aws ec2 delete-flow-logs --region {aws_region} --flow-log-ids {name}");
        }
        ("eks", kind @ ("nodegroup" | "addon")) => {
            // KIND/CLUSTER/NAME/UUID
            let mut parts = resource.split('/').skip(1);
            let (cluster, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let flags = format!("--cluster-name {cluster} --{kind}-name {name}");
            return format!("aws eks delete-{kind} --region {aws_region} {flags}");
        }
        ("iam", "role") => return format!("aws iam delete-role --role-name {name}"),
        ("ec2", "elastic-ip") => {
            return format!("aws ec2 release-address --region {aws_region} --allocation-id {name}");
        }
        ("ecr", _) => ("repository", "--force --repository-name", name),
        ("eks", "cluster") => ("cluster", "--name", name),
        ("rds", "db") => ("db-instance", "--db-instance-identifier", name),
        ("logs", _) => (
            "log-group",
            "--log-group-name",
            resource.trim_start_matches("log-group:").trim_end_matches(":*"),
        ),
        ("secretsmanager", _) => ("secret", "--secret-id", arn),
        ("acm", _) => ("certificate", "--certificate-arn", arn),
        ("elasticloadbalancing", "loadbalancer") => {
            return format!("aws elbv2 delete-load-balancer --region {aws_region} --load-balancer-arn {arn}");
        }
        ("elasticloadbalancing", "targetgroup") => {
            return format!("aws elbv2 delete-target-group --region {aws_region} --target-group-arn {arn}");
        }
        ("s3", _) => return format!("aws s3 rb --force s3://{resource}"),
        ("kms", _) => {
            return format!("aws kms schedule-key-deletion --region {aws_region} --key-id {name}");
        }
        _ => return format!("delete it in the console of {service}"),
    };
    delete(service, what, flag, name, aws_region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_listed_with_the_command_that_deletes_it() {
        let command = |arn: &str| super::command(arn, "eu-south-2");
        assert_eq!(
            command("arn:aws:ec2:eu-south-2:123456789012:vpc/vpc-1"),
            "aws ec2 delete-vpc --region eu-south-2 --vpc-id vpc-1"
        );
        assert_eq!(
            command("arn:aws:logs:eu-south-2:123456789012:log-group:/aws/eks/pay-spain/cluster:*"),
            "aws logs delete-log-group --region eu-south-2 --log-group-name /aws/eks/pay-spain/cluster"
        );
        assert_eq!(
            command("arn:aws:eks:eu-south-2:123456789012:nodegroup/pay-spain/system/1a2b"),
            "aws eks delete-nodegroup --region eu-south-2 --cluster-name pay-spain --nodegroup-name system"
        );
        assert_eq!(command("arn:aws:s3:::pay-audit"), "aws s3 rb --force s3://pay-audit");
        assert_eq!(command("arn:aws:sqs:eu-south-2:1:queue"), "delete it in the console of sqs");
    }

    #[test]
    fn two_teardowns_list_what_remains_in_the_same_order_although_ids_are_random() {
        let key = |id: &str, reason: &str| Remaining {
            region: "spain".to_owned(),
            resource: format!("arn:aws:kms:eu-south-2:1:key/{id}"),
            reason: reason.to_owned(),
            fix: None,
        };
        let ordered = |mut all: [Remaining; 2]| {
            all.sort_by(|one, other| order(one).cmp(&order(other)));
            all.map(|one| one.reason)
        };
        assert_eq!(ordered([key("1", "scheduled"), key("2", "history")]), ["history", "scheduled"]);
        assert_eq!(ordered([key("1", "history"), key("2", "scheduled")]), ["history", "scheduled"]);
    }

    #[test]
    fn a_date_is_shown_as_a_day() {
        assert_eq!(day(Some(&DateTime::from_secs(0))), "1970-01-01");
        assert_eq!(day(None), "an unknown date");
    }
}
