//! The account's public hosted zones.

use super::{Aws, always_enabled, classify};
use crate::task::{ErrorExt, Result};

/// A public hosted zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Without the final dot.
    pub name: String,
    pub id: String,
}

/// A client of Route 53, which is global: its endpoint depends on the partition of `aws_region` only.
pub fn client(aws: &Aws, aws_region: &str) -> aws_sdk_route53::Client {
    aws_sdk_route53::Client::new(&aws.in_region(always_enabled(aws_region)))
}

/// All public zones of the account.
///
/// # Errors
/// When Route 53 does not answer.
pub async fn public(client: &aws_sdk_route53::Client) -> Result<Vec<Zone>> {
    let listed = client.list_hosted_zones().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    let listed = listed.await.map_err(classify).doing("list the hosted zones")?;
    let public = listed.iter().filter(|zone| zone.config().is_none_or(|config| !config.private_zone()));
    let named = |zone: &aws_sdk_route53::types::HostedZone| Zone {
        name: zone.name().trim_end_matches('.').to_owned(),
        id: zone.id().to_owned(),
    };
    Ok(public.map(named).collect())
}

/// A name as it is compared: in lower case and without the final dot.
pub fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}

/// The zone that holds a host: the one with the longest matching name.
pub fn of_host(zones: Vec<Zone>, host: &str) -> Option<Zone> {
    let host = host.trim_end_matches('.');
    let holds = |zone: &Zone| {
        host.strip_suffix(&zone.name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    zones.into_iter().filter(holds).max_by_key(|zone| zone.name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_belongs_to_the_most_specific_zone() {
        let zone = |name: &str| Zone { name: name.to_owned(), id: name.to_owned() };
        let zones = || vec![zone("example"), zone("pay.example"), zone("ay.example")];
        assert_eq!(of_host(zones(), "api.pay.example").unwrap().name, "pay.example");
        assert_eq!(of_host(zones(), "other.example.").unwrap().name, "example");
        assert_eq!(of_host(zones(), "api.elsewhere"), None);
    }
}
