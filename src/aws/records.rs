//! The DNS records that a cluster's external-dns has created, by their owner.
//!
//! external-dns marks each record with a TXT record: `heritage=external-dns,external-dns/owner=OWNER,…`. The TXT
//! record has the record's name, or in the newer format its first label is prefixed with the record's type:
//! `cname-api.example` for the A, AAAA or CNAME record `api.example` (a load balancer's alias counts as CNAME). Only
//! records with our owner are deleted; others in the zone belong to other clusters, to Terraform, or to people.

use std::collections::BTreeSet;

use aws_sdk_route53::types::{Change, ChangeAction, ChangeBatch, ResourceRecordSet, RrType};
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use super::{
    Aws, classify,
    zones::{self, normal},
};
use crate::task::{Error, ErrorExt, Result};

/// The most changes in one call. Route 53 accepts 1,000.
const CHUNK: usize = 500;

/// The records of one owner in the zone of a host.
pub struct Records {
    aws: Aws,
    client: aws_sdk_route53::Client,
    zone: zones::Zone,
    owner: String,
}

impl Records {
    /// `None` if the account has no public zone for the host.
    pub async fn of(aws: &Aws, aws_region: &str, host: &str, owner: &str) -> Result<Option<Self>> {
        let client = zones::client(aws, aws_region);
        let zone = zones::of_host(zones::public(&client).await?, host);
        Ok(zone.map(|zone| Self { aws: aws.clone(), client, zone, owner: owner.to_owned() }))
    }

    /// The names of the owner's records, with their types.
    pub async fn names(&self) -> Result<Vec<String>> {
        Ok(self.owned(false).await?.iter().map(title).collect())
    }

    /// Deletes the owner's records, and returns their names.
    pub async fn delete(&self) -> Result<Vec<String>> {
        let owned = self.owned(true).await?;
        for chunk in owned.chunks(CHUNK) {
            let delete = |record: &ResourceRecordSet| {
                Change::builder().action(ChangeAction::Delete).resource_record_set(record.clone()).build()
            };
            let changes: Vec<Change> = chunk.iter().map(delete).collect::<Result<_, _>>()?;
            let batch = ChangeBatch::builder().set_changes(Some(changes)).build()?;
            let change = self.client.change_resource_record_sets().hosted_zone_id(&self.zone.id);
            let doing = || format!("delete the records of `{}` in zone `{}`", self.owner, self.zone.name);
            let answer = change.change_batch(batch).send().await;
            self.aws.zone_reads().forget(&self.zone).await;
            match answer {
                Ok(_) => {}
                // Route 53 refuses to delete what does not exist, such as after an attempt whose answer was lost, or when a
                // controller was faster. The retry reads again what remains.
                Err(error)
                    if error.code() == Some("InvalidChangeBatch") && self.owned(true).await? != owned =>
                {
                    return Err(Error::transient("the records have changed")).doing(doing());
                }
                Err(error) => return Err(classify(error)).doing(doing()),
            }
        }
        Ok(owned.iter().map(title).collect())
    }

    async fn owned(&self, again: bool) -> Result<Vec<ResourceRecordSet>> {
        let all = self.aws.zone_reads().all(&self.client, &self.zone, again).await?;
        Ok(owned(&all, &self.owner))
    }
}

fn title(record: &ResourceRecordSet) -> String {
    format!("{} {}", record.r#type().as_str(), record.name().trim_end_matches('.'))
}

/// The records whose TXT record names this owner, and those TXT records.
fn owned(all: &[ResourceRecordSet], owner: &str) -> Vec<ResourceRecordSet> {
    let marks = all.iter().filter(|record| is_mark(record, owner));
    let marked: BTreeSet<String> = marks.clone().flat_map(|mark| marked_names(mark.name())).collect();
    let foreign: BTreeSet<String> = all
        .iter()
        .filter(|record| is_heritage(record) && !is_mark(record, owner))
        .flat_map(|mark| marked_names(mark.name()))
        .collect();
    let is_pointer = |record: &&ResourceRecordSet| {
        let name = normal(record.name());
        matches!(record.r#type(), RrType::A | RrType::Aaaa | RrType::Cname)
            && marked.contains(&name)
            // Two owners of one name: external-dns would not touch it either.
            && !foreign.contains(&name)
    };
    all.iter().filter(is_pointer).chain(marks).cloned().collect()
}

/// The names that a TXT record may mark: its own, and that without the type before its first label.
fn marked_names(mark: &str) -> Vec<String> {
    let name = normal(mark);
    let typed = ["a-", "aaaa-", "cname-"].iter().find_map(|prefix| name.strip_prefix(prefix));
    match typed {
        Some(marked) => vec![marked.to_owned()],
        None => vec![name],
    }
}

fn is_heritage(record: &ResourceRecordSet) -> bool {
    fields(record).iter().any(|field| field == "heritage=external-dns")
}

fn is_mark(record: &ResourceRecordSet, owner: &str) -> bool {
    is_heritage(record) && fields(record).contains(&format!("external-dns/owner={owner}"))
}

/// The comma-separated fields of a TXT record's values.
fn fields(record: &ResourceRecordSet) -> Vec<String> {
    if *record.r#type() != RrType::Txt {
        return Vec::new();
    }
    let values = record.resource_records().iter().map(|one| one.value().trim_matches('"'));
    values.flat_map(|value| value.split(',').map(|field| field.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_route53::types::ResourceRecord;

    use super::*;

    fn record(kind: RrType, name: &str, value: &str) -> ResourceRecordSet {
        let value = ResourceRecord::builder().value(value).build().unwrap();
        ResourceRecordSet::builder().r#type(kind).name(name).resource_records(value).build().unwrap()
    }

    fn mark(name: &str, owner: &str) -> ResourceRecordSet {
        let value = format!(
            "\"heritage=external-dns,external-dns/owner={owner},external-dns/resource=ingress/pay/api\""
        );
        record(RrType::Txt, name, &value)
    }

    #[test]
    fn only_records_whose_mark_names_our_owner_are_deleted() {
        let all = [
            record(RrType::A, "api-es.pay.example.", "192.0.2.1"),
            mark("a-api-es.pay.example.", "pay-spain"),
            mark("cname-api-es.pay.example.", "pay-spain"),
            record(RrType::A, "api-mx.pay.example.", "192.0.2.2"),
            mark("a-api-mx.pay.example.", "pay-mexico"),
            mark("x.pay.example.", "pay-spain-2"),
            record(RrType::Cname, "_x.api-es.pay.example.", "acm.example"),
            record(RrType::Ns, "pay.example.", "ns.example"),
            record(RrType::Txt, "pay.example.", "\"v=spf1 -all\""),
        ];
        let names: Vec<String> = owned(&all, "pay-spain").iter().map(title).collect();
        assert_eq!(
            names,
            ["A api-es.pay.example", "TXT a-api-es.pay.example", "TXT cname-api-es.pay.example"]
        );
    }

    #[test]
    fn an_older_mark_has_the_name_of_its_record() {
        let all =
            [record(RrType::Cname, "old.pay.example.", "lb.example"), mark("old.pay.example.", "pay-spain")];
        assert_eq!(owned(&all, "pay-spain").len(), 2);
        assert_eq!(owned(&all, "pay").len(), 0);
    }

    #[test]
    fn a_name_that_two_owners_claim_keeps_its_record() {
        let all = [
            record(RrType::A, "api.pay.example.", "192.0.2.1"),
            mark("a-api.pay.example.", "pay-spain"),
            mark("cname-api.pay.example.", "pay-mexico"),
        ];
        let names: Vec<String> = owned(&all, "pay-spain").iter().map(title).collect();
        assert_eq!(names, ["TXT a-api.pay.example"]);
    }
}
