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
