//! What the application's record in its hosted zone points at. external-dns creates and deletes it.

use aws_sdk_route53::types::{ResourceRecordSet, RrType};

use crate::{
    aws::{Aws, zones},
    step::Result,
};

/// What the host's own records point at.
pub(super) async fn targets(aws: &Aws, aws_region: &str, zone: &str, host: &str) -> Result<Vec<String>> {
    let client = zones::client(aws, aws_region);
    let records = aws.zone_reads().host(&client, zone, host).await?;
    let is_pointer =
        |record: &&ResourceRecordSet| matches!(record.r#type(), RrType::A | RrType::Aaaa | RrType::Cname);
    let pointed = |record: &ResourceRecordSet| match record.alias_target() {
        Some(alias) => vec![alias.dns_name().to_owned()],
        None => record.resource_records().iter().map(|one| one.value().to_owned()).collect(),
    };
    Ok(records.iter().filter(is_pointer).flat_map(pointed).collect())
}
