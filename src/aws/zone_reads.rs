//! Reads of hosted zones that all regions of a run share.
//!
//! Route 53 answers five calls per second and account, however many regions wait for their records. So
//!
//! 1. each zone has one reader at a time, and what it read counts for [`FRESH`]: who asks meanwhile gets the same answer;
//! 2. a read of single hosts takes along all hosts that were ever asked for: a page that starts at one of them usually
//!    has the others, which lie side by side in the order of names.
//!
//! An error is shared as well, with those that already wait for the same answer: otherwise all of them would meet the same
//! throttle one after the other. A later call asks again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_route53::{Client, types::ResourceRecordSet};
use tokio::time::Instant;

use super::{
    classify,
    zones::{Zone, normal},
};
use crate::task::{Error, ErrorExt, Result};

/// Shorter than the pause between two checks of any wait.
const FRESH: Duration = Duration::from_secs(1);
/// The same for an error.
const FRESH_ERROR: Duration = Duration::from_millis(200);
/// The most records that a page has.
const PAGE: i32 = 300;

type ByHost = BTreeMap<String, Vec<ResourceRecordSet>>;

/// The reads of one account.
#[derive(Debug)]
pub struct ZoneReads {
    zones: Mutex<BTreeMap<String, Arc<Reads>>>,
    /// How long an answer counts, and how long an error does.
    fresh: (Duration, Duration),
}

impl Default for ZoneReads {
    fn default() -> Self {
        Self { zones: Mutex::default(), fresh: (FRESH, FRESH_ERROR) }
    }
}

/// Those of one zone.
#[derive(Debug, Default)]
struct Reads {
    hosts: Mutex<BTreeSet<String>>,
    of_hosts: tokio::sync::Mutex<Option<Read<ByHost>>>,
    of_all: tokio::sync::Mutex<Option<Read<Vec<ResourceRecordSet>>>>,
}

/// What a read returned, and when.
#[derive(Debug)]
struct Read<T> {
    at: Instant,
    found: Result<T>,
}

impl<T> Read<T> {
    fn new(found: Result<T>) -> Self {
        Self { at: Instant::now(), found }
    }

    /// What was found, if it is recent enough.
    fn fresh(&self, (answer, error): (Duration, Duration)) -> Option<Result<&T>> {
        let limit = if self.found.is_ok() { answer } else { error };
        (self.at.elapsed() < limit).then(|| self.found.as_ref().map_err(Error::copy))
    }
}

impl ZoneReads {
    fn of(&self, zone: &str) -> Arc<Reads> {
        let mut zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        zones.entry(zone.to_owned()).or_default().clone()
    }

    /// The records of a host in a zone, by its id.
    pub async fn host(&self, client: &Client, zone: &str, host: &str) -> Result<Vec<ResourceRecordSet>> {
        let host = normal(host);
        let reads = self.of(zone);
        reads.hosts.lock().unwrap_or_else(PoisonError::into_inner).insert(host.clone());
        let mut last = reads.of_hosts.lock().await;
        if let Some(found) = last.as_ref().and_then(|last| last.fresh(self.fresh)) {
            // It does not have a host that was asked for later.
            match found {
                Ok(found) => {
                    if let Some(records) = found.get(&host) {
                        return Ok(records.clone());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let hosts = reads.hosts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let read = Read::new(of_hosts(client, zone, hosts).await);
        let records = match &read.found {
            Ok(found) => Ok(found.get(&host).cloned().unwrap_or_default()),
            Err(error) => Err(error.copy()),
        };
        *last = Some(read);
        records
    }

    /// All records of a zone. With `again`, none that were read before the call.
    pub async fn all(&self, client: &Client, zone: &Zone, again: bool) -> Result<Vec<ResourceRecordSet>> {
        let reads = self.of(&zone.id);
        let mut last = reads.of_all.lock().await;
        if let Some(found) = last.as_ref().filter(|_| !again).and_then(|last| last.fresh(self.fresh)) {
            return found.cloned();
        }
        let read = Read::new(of_all(client, zone).await);
        let records = read.found.as_ref().map_err(Error::copy).cloned();
        *last = Some(read);
        records
    }

    /// After a change: what was read before does not count any more.
    pub async fn forget(&self, zone: &Zone) {
        let reads = self.of(&zone.id);
        *reads.of_hosts.lock().await = None;
        *reads.of_all.lock().await = None;
    }
}

async fn of_hosts(client: &Client, zone: &str, hosts: BTreeSet<String>) -> Result<ByHost> {
    // In the order of the zone, so that a page has as many of them as possible.
    let mut open: BTreeSet<Rank> = hosts.iter().map(|host| Rank::of(host)).collect();
    let mut found = ByHost::new();
    // Each page settles at least the host at which it starts.
    while let Some(first) = open.pop_first() {
        let list = client.list_resource_record_sets().hosted_zone_id(zone).start_record_name(&first.host);
        let page = list.max_items(PAGE).send().await.map_err(classify);
        let page = page.doing(format!("read the records of `{}`", first.host))?;
        let end = page
            .next_record_name
            .as_deref()
            .filter(|_| page.is_truncated)
            .map(|name| Rank::of(&normal(name)));
        let is_whole = |rank: &Rank| end.as_ref().is_none_or(|end| rank.reversed < end.reversed);
        let settled: BTreeSet<String> = std::iter::once(&first)
            .chain(open.iter().filter(|rank| is_whole(rank)))
            .map(|rank| rank.host.clone())
            .collect();
        open.retain(|rank| !settled.contains(&rank.host));
        for record in page.resource_record_sets {
            let name = normal(record.name());
            if settled.contains(&name) {
                found.entry(name).or_default().push(record);
            }
        }
    }
    for host in hosts {
        found.entry(host).or_default();
    }
    Ok(found)
}

/// A host's place in the order of a zone. Route 53 sorts by the ASCII code of the name with its labels in reverse order and
/// with a final dot, so that `api-es` comes before `api` (`ListResourceRecordSets` in its API reference).
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    reversed: String,
    host: String,
}

impl Rank {
    fn of(host: &str) -> Self {
        let labels: Vec<&str> = host.rsplit('.').collect();
        Self { reversed: format!("{}.", labels.join(".")), host: host.to_owned() }
    }
}

async fn of_all(client: &Client, zone: &Zone) -> Result<Vec<ResourceRecordSet>> {
    let mut all = Vec::new();
    let mut request = client.list_resource_record_sets().hosted_zone_id(&zone.id);
    loop {
        let page = request.send().await.map_err(classify);
        let page = page.doing(format!("read the records of zone `{}`", zone.name))?;
        all.extend(page.resource_record_sets);
        if !page.is_truncated {
            return Ok(all);
        }
        request = client
            .list_resource_record_sets()
            .hosted_zone_id(&zone.id)
            .set_start_record_name(page.next_record_name)
            .set_start_record_type(page.next_record_type)
            .set_start_record_identifier(page.next_record_identifier);
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use serde_json::json;

    use super::*;
    use crate::kubernetes::testing::{Call, Server};

    /// Route 53 with these hosts, in the order of their zone, and pages of a size.
    async fn route53(hosts: &'static [&'static str], page: usize) -> (Server, Client) {
        let server = Server::start(move |call: &Call| {
            let start = call.path.split(['?', '&']).find_map(|part| part.strip_prefix("name="));
            let start = start.unwrap_or_default();
            let from = if start.is_empty() { Some(0) } else { hosts.iter().position(|host| *host == start) };
            let from = from.unwrap_or(hosts.len());
            let left = &hosts[from..];
            let record = |host: &&str| {
                format!(
                    "<ResourceRecordSet><Name>{host}.</Name><Type>A</Type><TTL>60</TTL><ResourceRecords><ResourceRecord>\
                     <Value>192.0.2.1</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>"
                )
            };
            let records: String = left.iter().take(page).map(record).collect();
            let next = left.get(page).map(|host| format!("<NextRecordName>{host}.</NextRecordName>"));
            let body = format!(
                "<ListResourceRecordSetsResponse><ResourceRecordSets>{records}</ResourceRecordSets>\
                 <IsTruncated>{}</IsTruncated>{}<MaxItems>{page}</MaxItems></ListResourceRecordSetsResponse>",
                next.is_some(),
                next.unwrap_or_default()
            );
            (200, json!(body))
        })
        .await;
        let client = Client::new(&server.aws().in_region("us-east-1"));
        (server, client)
    }

    fn counts(found: &ByHost) -> Vec<(&str, usize)> {
        found.iter().map(|(host, records)| (host.as_str(), records.len())).collect()
    }

    #[tokio::test]
    async fn all_hosts_of_a_zone_are_read_by_one_call() {
        // As Route 53 sorts them.
        let hosts = &["api-es.pay.example", "api-mx.pay.example", "api.pay.example"];
        let (server, client) = route53(hosts, 300).await;
        let wanted = ["api.pay.example", "api-es.pay.example", "none.pay.example"].map(str::to_owned);
        let found = of_hosts(&client, "Z1", wanted.into()).await.unwrap();
        let expected = [("api-es.pay.example", 1), ("api.pay.example", 1), ("none.pay.example", 0)];
        assert_eq!(counts(&found), expected);
        assert_eq!(server.calls().len(), 1);
    }

    #[tokio::test]
    async fn a_host_is_asked_for_as_it_is_written() {
        let (_server, client) = route53(&["api.pay.example"], 300).await;
        let reads = ZoneReads::default();
        assert_eq!(reads.host(&client, "Z1", "API.pay.example.").await.unwrap().len(), 1);
    }

    /// Answers count for this long, and errors too.
    fn reads(fresh: Duration) -> ZoneReads {
        ZoneReads { fresh: (fresh, fresh), ..ZoneReads::default() }
    }

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn regions_that_wait_for_their_records_together_share_the_reads_of_their_zone() {
        let hosts = &["api-es.pay.example", "api-mx.pay.example", "api.pay.example"];
        let (server, client) = route53(hosts, 300).await;
        let reads = reads(LONG);
        let rounds = [2, 2];
        for calls in rounds {
            let found = join_all(hosts.iter().map(|host| reads.host(&client, "Z1", host))).await;
            assert!(found.iter().all(|found| found.as_ref().unwrap().len() == 1));
            // The first one knows of no other host yet, and the second one takes along all of them.
            assert_eq!(server.calls().len(), calls);
        }
        reads.host(&client, "Z2", hosts[0]).await.unwrap();
        assert_eq!(server.calls().len(), 3, "another zone has reads of its own");
    }

    #[tokio::test]
    async fn what_was_read_counts_only_for_a_while_and_not_after_a_change() {
        let (server, client) = route53(&["api.pay.example"], 300).await;
        let zone = Zone { id: "Z1".into(), name: "pay.example".into() };
        for (reads, calls) in
            [(reads(LONG), [1, 1, 2, 3, 3, 4, 5]), (reads(Duration::ZERO), [1, 2, 3, 4, 5, 6, 7])]
        {
            let before = server.calls().len();
            let counted = || server.calls().len() - before;
            let mut seen = Vec::new();
            for _ in 0..2 {
                reads.host(&client, "Z1", "api.pay.example").await.unwrap();
                seen.push(counted());
            }
            reads.forget(&zone).await;
            reads.host(&client, "Z1", "api.pay.example").await.unwrap();
            seen.push(counted());
            for again in [false, false, true] {
                assert_eq!(reads.all(&client, &zone, again).await.unwrap().len(), 1);
                seen.push(counted());
            }
            reads.forget(&zone).await;
            reads.all(&client, &zone, false).await.unwrap();
            seen.push(counted());
            assert_eq!(seen, calls);
        }
    }

    #[tokio::test]
    async fn those_who_wait_for_an_answer_share_its_error_and_a_later_call_asks_again() {
        let server = Server::start(|_: &Call| {
            (400, json!("<ErrorResponse><Error><Code>NoSuchHostedZone</Code></Error></ErrorResponse>"))
        })
        .await;
        let client = Client::new(&server.aws().in_region("us-east-1"));
        let shared = reads(LONG);
        let hosts = ["a.pay.example", "b.pay.example", "c.pay.example"];
        let found = join_all(hosts.iter().map(|host| shared.host(&client, "Z1", host))).await;
        assert!(found.iter().all(Result::is_err));
        assert_eq!(server.calls().len(), 1);
        let later = reads(Duration::ZERO);
        for calls in [2, 3] {
            later.host(&client, "Z1", hosts[0]).await.unwrap_err();
            assert_eq!(server.calls().len(), calls);
        }
    }

    #[tokio::test]
    async fn a_page_that_ends_early_is_followed_by_one_that_starts_at_the_next_host() {
        let hosts = &["a-x.pay.example", "a.pay.example", "a.pay.example", "b.pay.example", "c.pay.example"];
        let (server, client) = route53(hosts, 2).await;
        let wanted = ["a-x.pay.example", "a.pay.example", "c.pay.example"].map(str::to_owned);
        let found = of_hosts(&client, "Z1", wanted.into()).await.unwrap();
        assert_eq!(counts(&found), [("a-x.pay.example", 1), ("a.pay.example", 2), ("c.pay.example", 1)]);
        assert_eq!(server.calls().len(), 3);
    }
}
