//! What the application's record in its hosted zone points at. external-dns creates and deletes it.

use aws_sdk_route53::types::{ResourceRecordSet, RrType};

use crate::{
    aws::{self, Aws, zones},
    step::{ErrorExt, Result},
};

/// What the host's own records point at.
pub(super) async fn targets(aws: &Aws, aws_region: &str, zone: &str, host: &str) -> Result<Vec<String>> {
    let client = zones::client(aws, aws_region);
    // Route 53 returns records sorted by name, and a host has only a few.
    let page = client.list_resource_record_sets().hosted_zone_id(zone).start_record_name(host).max_items(10);
    let page = page.send().await.map_err(aws::classify).doing(format!("read the records of `{host}`"))?;
    let of_host = |record: &&ResourceRecordSet| {
        record.name().trim_end_matches('.').eq_ignore_ascii_case(host)
            && matches!(record.r#type(), RrType::A | RrType::Aaaa | RrType::Cname)
    };
    let pointed = |record: &ResourceRecordSet| match record.alias_target() {
        Some(alias) => vec![alias.dns_name().to_owned()],
        None => record.resource_records().iter().map(|one| one.value().to_owned()).collect(),
    };
    Ok(page.resource_record_sets().iter().filter(of_host).flat_map(pointed).collect())
}
