//! Of EC2. Everything that a stack creates there is tagged as it is created.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_ec2::{
    Client,
    types::{Filter, FlowLog, SecurityGroupRule},
};

use super::{Candidate, Finder, Standing, known, standing, tags};
use crate::{
    aws::classify,
    task::{Error, ErrorExt, Result},
};

/// The start of an id, and the resource's name in an ARN.
const KINDS: [(&str, &str); 10] = [
    ("eipalloc-", "elastic-ip"),
    ("fl-", "vpc-flow-log"),
    ("igw-", "internet-gateway"),
    ("nat-", "natgateway"),
    ("rtb-", "route-table"),
    ("sg-", "security-group"),
    ("sgr-", "security-group-rule"),
    ("subnet-", "subnet"),
    ("vpc-", "vpc"),
    ("vpce-", "vpc-endpoint"),
];

/// The most values that EC2 accepts in one filter.
const VALUES: usize = 200;

fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// Deletes the rule by which a new security group lets everything out, as Terraform does after it has created a group.
/// Terraform does not do so for a group that it adopts: the stacks' own rules are resources of their own, so another
/// rule is no difference.
pub async fn close(aws: &SdkConfig, group: &str) -> Result<()> {
    let ec2 = Client::new(aws);
    let doing = || format!("delete the default rule of security group `{group}`");
    let pages =
        ec2.describe_security_group_rules().filters(filter("group-id", group)).into_paginator().items();
    let rules = pages.send().collect::<Result<Vec<_>, _>>().await.map_err(classify).doing(doing())?;
    // Rules of the stacks have tags.
    let is_default = |rule: &SecurityGroupRule| {
        rule.is_egress() == Some(true) && rule.ip_protocol() == Some("-1") && rule.tags().is_empty()
    };
    let ids: Vec<String> =
        rules.into_iter().filter(is_default).filter_map(|rule| rule.security_group_rule_id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let revoke = ec2.revoke_security_group_egress().group_id(group).set_security_group_rule_ids(Some(ids));
    known(revoke.send().await).doing(doing())?;
    Ok(())
}

impl Finder<'_> {
    fn ec2(&self) -> Client {
        Client::new(&self.aws)
    }

    /// The tags of everything with the stack's tag. It is asked for by one tag, because only one fits into a filter.
    async fn all_tagged(&self) -> Result<&BTreeMap<String, BTreeMap<String, String>>> {
        let [.., (key, value)] = self.owner;
        self.tagged
            .get_or_try_init(|| async {
                let pages =
                    self.ec2().describe_tags().filters(filter("key", key)).filters(filter("value", value));
                let found = pages.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
                let ids: Vec<String> =
                    found.map_err(classify)?.into_iter().filter_map(|tag| tag.resource_id).collect();
                let mut all: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
                for some in ids.chunks(VALUES) {
                    let filter =
                        Filter::builder().name("resource-id").set_values(Some(some.to_vec())).build();
                    let pages = self.ec2().describe_tags().filters(filter).into_paginator().items().send();
                    for tag in pages.collect::<Result<Vec<_>, _>>().await.map_err(classify)? {
                        let (Some(id), Some(key), Some(value)) = (tag.resource_id, tag.key, tag.value) else {
                            continue;
                        };
                        all.entry(id).or_default().insert(key, value);
                    }
                }
                Ok::<_, Error>(all)
            })
            .await
            .doing("list what has the stack's tag in EC2")
    }

    pub(super) async fn tagged(&self, prefix: &str, name: &str) -> Result<Vec<Candidate>> {
        let mut all = Vec::new();
        let is_named = |tags: &BTreeMap<String, String>| tags.get("Name").map(String::as_str) == Some(name);
        for (id, tags) in self.all_tagged().await?.iter().filter(|(id, _)| id.starts_with(prefix)) {
            if !is_named(tags) {
                continue;
            }
            let seen = match prefix {
                "nat-" => self.nat_gateway(id).await?,
                "vpce-" => self.endpoint(id).await?,
                "fl-" => self.flow_log(id).await?,
                _ => Some((Standing::Ready, None)),
            };
            let Some((standing, created)) = seen else { continue };
            let kind = KINDS.iter().find(|(start, _)| *start == prefix).map_or("", |(_, kind)| *kind);
            let arn = Some(self.arn("ec2", &format!("{kind}/{id}")));
            all.push(Candidate { id: id.clone(), arn, created, tags: Some(tags.clone()), standing });
        }
        Ok(all)
    }

    /// A failed NAT gateway deletes itself, and Terraform creates another one.
    async fn nat_gateway(&self, id: &str) -> Result<Option<(Standing, Option<i64>)>> {
        let found = known(self.ec2().describe_nat_gateways().nat_gateway_ids(id).send().await)?;
        let found = found.and_then(|found| found.nat_gateways?.into_iter().next());
        let Some(found) = found else { return Ok(None) };
        let status = found.state().map(|state| state.as_str().to_owned());
        if matches!(status.as_deref(), Some("deleting" | "deleted" | "failed")) {
            return Ok(None);
        }
        let created = found.create_time().map(aws_smithy_types::DateTime::secs);
        Ok(Some((standing(status.as_deref(), &["available"], &[]), created)))
    }

    async fn endpoint(&self, id: &str) -> Result<Option<(Standing, Option<i64>)>> {
        let found = known(self.ec2().describe_vpc_endpoints().vpc_endpoint_ids(id).send().await)?;
        let found = found.and_then(|found| found.vpc_endpoints?.into_iter().next());
        let Some(found) = found else { return Ok(None) };
        let status = found.state().map(|state| state.as_str().to_lowercase());
        if matches!(status.as_deref(), Some("deleting" | "deleted")) {
            return Ok(None);
        }
        let created = found.creation_timestamp().map(aws_smithy_types::DateTime::secs);
        Ok(Some((standing(status.as_deref(), &["available"], &["failed", "rejected", "expired"]), created)))
    }

    async fn flow_log(&self, id: &str) -> Result<Option<(Standing, Option<i64>)>> {
        let found = known(self.ec2().describe_flow_logs().flow_log_ids(id).send().await)?;
        let found = found.and_then(|found| found.flow_logs?.into_iter().next());
        let created = |one: FlowLog| one.creation_time().map(aws_smithy_types::DateTime::secs);
        Ok(found.map(|one| (Standing::Ready, created(one))))
    }

    /// Both directions of a connection have the same name.
    pub(super) async fn rules(&self, egress: bool, name: &str) -> Result<Vec<Candidate>> {
        let mut all = Vec::new();
        for rule in self.tagged("sgr-", name).await? {
            let asked =
                self.ec2().describe_security_group_rules().security_group_rule_ids(&rule.id).send().await;
            let found = known(asked)?.and_then(|found| found.security_group_rules?.into_iter().next());
            if found.is_some_and(|found| found.is_egress() == Some(egress)) {
                all.push(rule);
            }
        }
        Ok(all)
    }

    pub(super) async fn launch_templates(&self, prefix: &str) -> Result<Vec<Candidate>> {
        let [.., (key, value)] = self.owner;
        let tag = filter(&format!("tag:{key}"), value);
        let pages = self.ec2().describe_launch_templates().filters(tag).into_paginator().items().send();
        let found = pages.collect::<Result<Vec<_>, _>>().await.map_err(classify);
        let found = found.doing(format!("list the launch templates `{prefix}*`"))?;
        let is_it = |name: Option<&str>| name.is_some_and(|name| name.starts_with(prefix));
        let candidate = |one: aws_sdk_ec2::types::LaunchTemplate| {
            let id = one.launch_template_id()?.to_owned();
            Some(Candidate {
                arn: Some(self.arn("ec2", &format!("launch-template/{id}"))),
                id,
                created: one.create_time().map(aws_smithy_types::DateTime::secs),
                tags: Some(tags(one.tags().iter().map(|tag| (tag.key(), tag.value())))),
                standing: Standing::Ready,
            })
        };
        Ok(found.into_iter().filter(|one| is_it(one.launch_template_name())).filter_map(candidate).collect())
    }

    async fn route_table(&self, id: &str) -> Result<Option<aws_sdk_ec2::types::RouteTable>> {
        let found = known(self.ec2().describe_route_tables().route_table_ids(id).send().await);
        Ok(found
            .doing(format!("read route table `{id}`"))?
            .and_then(|found| found.route_tables?.into_iter().next()))
    }

    pub(super) async fn route(&self, table: &str, destination: &str) -> Result<Vec<Candidate>> {
        let found = self.route_table(table).await?;
        let exists = found.is_some_and(|found| {
            found.routes().iter().any(|route| route.destination_cidr_block() == Some(destination))
        });
        let id = format!("{table}_{destination}");
        Ok(exists.then(|| Candidate { id, ..Candidate::default() }).into_iter().collect())
    }

    pub(super) async fn association(&self, subnet: &str, table: &str) -> Result<Vec<Candidate>> {
        let found = self.route_table(table).await?;
        let association = found.and_then(|found| {
            let all = found.associations.unwrap_or_default().into_iter();
            all.filter(|one| one.subnet_id() == Some(subnet)).find_map(|one| one.route_table_association_id)
        });
        let id = format!("{subnet}/{table}");
        Ok(association.map(|_| Candidate { id, ..Candidate::default() }).into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::close;
    use crate::kubernetes::testing::{Call, Server};

    #[tokio::test]
    async fn an_adopted_group_loses_the_rule_that_lets_everything_out_and_keeps_those_of_its_stack() {
        let rule = |id: &str, egress: bool, protocol: &str, tags: &str| {
            format!(
                "<item><securityGroupRuleId>{id}</securityGroupRuleId><isEgress>{egress}</isEgress>\
                 <ipProtocol>{protocol}</ipProtocol><tagSet>{tags}</tagSet></item>"
            )
        };
        let ours = "<item><key>Stack</key><value>foundation</value></item>";
        let rules = [
            rule("sgr-default", true, "-1", ""),
            rule("sgr-in", false, "-1", ""),
            rule("sgr-ours", true, "-1", ours),
            rule("sgr-https", true, "tcp", ""),
        ];
        let answer = format!(
            "<DescribeSecurityGroupRulesResponse><securityGroupRuleSet>{}</securityGroupRuleSet>\
             </DescribeSecurityGroupRulesResponse>",
            rules.concat()
        );
        let server = Server::start(move |call: &Call| {
            let describes = call.body.contains("DescribeSecurityGroupRules");
            (200, json!(if describes { answer.as_str() } else { "<RevokeSecurityGroupEgressResponse/>" }))
        })
        .await;
        close(&server.aws().in_region("eu-south-2"), "sg-1").await.unwrap();
        let calls = server.calls();
        let [_, revoke] = &calls[..] else { panic!("{calls:?}") };
        assert!(revoke.body.contains("Action=RevokeSecurityGroupEgress"), "{revoke:?}");
        assert!(revoke.body.contains("GroupId=sg-1"), "{revoke:?}");
        assert!(revoke.body.contains("SecurityGroupRuleId.1=sgr-default"), "{revoke:?}");
        assert!(!revoke.body.contains("SecurityGroupRuleId.2"), "{revoke:?}");
    }
}
