//! The application's records in its hosted zone, which external-dns creates and deletes.

use aws_sdk_route53::types::{ResourceRecordSet, RrType};

use crate::{
    aws::{self, Aws, zones},
    step::{ErrorExt, Result},
};

/// The zone's id by its name; `None` when the account has no such public zone.
pub(super) async fn zone(aws: &Aws, aws_region: &str, name: &str) -> Result<Option<String>> {
    let zones = zones::public(&zones::client(aws, aws_region)).await?;
    Ok(zones.into_iter().find(|zone| zone.name == name.trim_end_matches('.')).map(|zone| zone.id))
}

/// The records of a host, and the TXT records with which external-dns marks them as its own.
pub(super) async fn records(aws: &Aws, aws_region: &str, zone: &str, host: &str) -> Result<Vec<String>> {
    let client = zones::client(aws, aws_region);
    let doing = || format!("read the records of `{host}`");
    let mut records = Vec::new();
    let mut request = client.list_resource_record_sets().hosted_zone_id(zone);
    loop {
        let page = request.send().await.map_err(aws::classify).doing(doing())?;
        let of_host = page.resource_record_sets().iter().filter(|record| is_of(record.name(), host));
        records.extend(of_host.map(|record| format!("{} {}", record.r#type().as_str(), record.name())));
        if !page.is_truncated() {
            return Ok(records);
        }
        request = client
            .list_resource_record_sets()
            .hosted_zone_id(zone)
            .set_start_record_name(page.next_record_name)
            .set_start_record_type(page.next_record_type)
            .set_start_record_identifier(page.next_record_identifier);
    }
}

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

/// Whether a record belongs to a host. external-dns prefixes the first label of its TXT records with the type:
/// `cname-api.example`. The validation record of a certificate (`_x.api.example`) belongs to Terraform.
fn is_of(record: &str, host: &str) -> bool {
    let (record, host) = (record.trim_end_matches('.'), host.trim_end_matches('.'));
    match record.strip_suffix(host) {
        Some("") => true,
        Some(prefix) => prefix.ends_with('-') && !prefix.contains('.'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_of;

    #[test]
    fn the_records_of_external_dns_are_distinguished_from_others() {
        let host = "api-es.payments.example";
        for record in
            ["api-es.payments.example.", "a-api-es.payments.example.", "cname-api-es.payments.example"]
        {
            assert!(is_of(record, host), "{record}");
        }
        for other in [
            "_x.api-es.payments.example.",
            "payments.example.",
            "api-mx.payments.example.",
            "x.a-api-es.payments.example",
        ] {
            assert!(!is_of(other, host), "{other}");
        }
    }
}
