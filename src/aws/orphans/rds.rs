//! Of RDS. Its tags are a call of their own.

use aws_sdk_rds::Client;
use aws_smithy_types::DateTime;

use super::{BTreeMap, Candidate, Finder, Standing, known, standing, tags};
use crate::{
    aws::classify,
    task::{ErrorExt, Result},
};

impl Finder<'_> {
    fn rds(&self) -> Client {
        Client::new(&self.aws)
    }

    async fn rds_tags(&self, arn: Option<&str>) -> Result<Option<BTreeMap<String, String>>> {
        let Some(arn) = arn else { return Ok(Some(BTreeMap::new())) };
        let found = known(self.rds().list_tags_for_resource().resource_name(arn).send().await);
        let found = found.doing(format!("read the tags of `{arn}`"))?;
        let list = found.and_then(|found| found.tag_list).unwrap_or_default();
        Ok(Some(tags(list.iter().map(|tag| (tag.key(), tag.value())))))
    }

    pub(super) async fn database(&self, name: &str) -> Result<Vec<Candidate>> {
        let found = known(self.rds().describe_db_instances().db_instance_identifier(name).send().await);
        let found = found.doing(format!("look for database `{name}`"))?.and_then(|found| found.db_instances);
        let Some(one) = found.unwrap_or_default().into_iter().next() else { return Ok(Vec::new()) };
        let standing = match one.db_instance_status() {
            Some("deleting") => return Ok(Vec::new()),
            Some(status) if never_ready(status) => Standing::Failed(status.to_owned()),
            // Its logs are being configured, for instance: it can be read and changed.
            status => standing(status, &["available", "storage-optimization"], &[]),
        };
        Ok(vec![Candidate {
            id: name.to_owned(),
            arn: one.db_instance_arn().map(str::to_owned),
            created: one.instance_create_time().map(DateTime::secs),
            tags: self.rds_tags(one.db_instance_arn()).await?,
            standing,
        }])
    }

    pub(super) async fn subnet_group(&self, name: &str) -> Result<Vec<Candidate>> {
        let found = known(self.rds().describe_db_subnet_groups().db_subnet_group_name(name).send().await);
        let found =
            found.doing(format!("look for subnet group `{name}`"))?.and_then(|found| found.db_subnet_groups);
        let Some(one) = found.unwrap_or_default().into_iter().next() else { return Ok(Vec::new()) };
        let arn = one.db_subnet_group_arn().map(str::to_owned);
        let tags = self.rds_tags(arn.as_deref()).await?;
        Ok(vec![Candidate { id: name.to_owned(), arn, tags, ..Candidate::default() }])
    }

    pub(super) async fn parameter_groups(&self, prefix: &str) -> Result<Vec<Candidate>> {
        let pages = self.rds().describe_db_parameter_groups().into_paginator().items().send();
        let found = pages.collect::<Result<Vec<_>, _>>().await.map_err(classify);
        let found = found.doing(format!("list the parameter groups `{prefix}*`"))?;
        let mut all = Vec::new();
        for one in found {
            let Some(name) = one.db_parameter_group_name().filter(|name| name.starts_with(prefix)) else {
                continue;
            };
            let arn = one.db_parameter_group_arn().map(str::to_owned);
            let tags = self.rds_tags(arn.as_deref()).await?;
            all.push(Candidate { id: name.to_owned(), arn, tags, ..Candidate::default() });
        }
        Ok(all)
    }

    pub(super) async fn proxy(&self, name: &str) -> Result<Vec<Candidate>> {
        let found = known(self.rds().describe_db_proxies().db_proxy_name(name).send().await);
        let found = found.doing(format!("look for proxy `{name}`"))?.and_then(|found| found.db_proxies);
        let Some(one) = found.unwrap_or_default().into_iter().next() else { return Ok(Vec::new()) };
        let status = one.status().map(aws_sdk_rds::types::DbProxyStatus::as_str);
        if status == Some("deleting") {
            return Ok(Vec::new());
        }
        Ok(vec![Candidate {
            id: name.to_owned(),
            arn: one.db_proxy_arn().map(str::to_owned),
            created: one.created_date().map(DateTime::secs),
            tags: self.rds_tags(one.db_proxy_arn()).await?,
            standing: standing(
                status,
                &["available"],
                &["incompatible-network", "insufficient-resource-limits"],
            ),
        }])
    }

    pub(super) async fn proxy_target(
        &self,
        proxy: &str,
        group: &str,
        database: &str,
    ) -> Result<Vec<Candidate>> {
        let asked = self.rds().describe_db_proxy_targets().db_proxy_name(proxy).target_group_name(group);
        let found = known(asked.send().await).doing(format!("list the targets of proxy `{proxy}`"))?;
        let targets = found.and_then(|found| found.targets).unwrap_or_default();
        let exists = targets.iter().any(|target| target.rds_resource_id() == Some(database));
        let id = format!("{proxy}/{group}/RDS_INSTANCE/{database}");
        Ok(exists.then(|| Candidate { id, ..Candidate::default() }).into_iter().collect())
    }
}

/// Whether a database stays in a status until somebody acts.
/// <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/accessing-monitoring.html>
fn never_ready(status: &str) -> bool {
    let starts = ["incompatible-", "inaccessible-"];
    starts.iter().any(|start| status.starts_with(start))
        || ["failed", "restore-error", "stopped", "storage-full"].contains(&status)
}

#[cfg(test)]
mod tests {
    use super::never_ready;

    #[test]
    fn a_database_is_not_waited_for_in_a_status_that_it_never_leaves_by_itself() {
        for status in
            ["failed", "incompatible-restore", "inaccessible-encryption-credentials", "storage-full"]
        {
            assert!(never_ready(status), "{status}");
        }
        for status in ["creating", "backing-up", "configuring-enhanced-monitoring", "available", "modifying"]
        {
            assert!(!never_ready(status), "{status}");
        }
    }
}
