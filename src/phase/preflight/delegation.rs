//! Checks that public DNS delegates to a hosted zone. Without this check, a missing delegation would be noticed many
//! minutes later, when the certificate is not issued.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use aws_sdk_route53::{Client, types::DelegationSet};
use hickory_resolver::{
    Resolver, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{op::ResponseCode, rr::RData},
};

use crate::{
    aws::{classify, zones::normal},
    step::{Context, ErrorExt, Result},
};

/// For Route 53 and DNS together.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Warns if the zone is not delegated. Never fails, because a resolver may have cached the state before the
/// delegation.
pub async fn check(cx: &Context, route53: &Client, zone: &str, id: &str) {
    let name_servers = &cx.world.config.preflight.name_servers;
    let lookups = async { tokio::try_join!(own(route53, id), delegated(name_servers, zone)) };
    let why = match tokio::time::timeout(TIMEOUT, lookups).await {
        Ok(Ok((own, delegated))) => {
            if let Some((warning, fix)) = judge(zone, &own, &delegated) {
                cx.warn(warning, fix);
            }
            return;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "timed out after 10 seconds".to_owned(),
    };
    cx.warn(
        format!("failed to check the delegation of the hosted zone `{zone}`: {why}"),
        "set `name_servers` in [preflight] of paydeploy.toml to name servers that resolve public names",
    );
}

/// The name servers that Route 53 assigned to the zone.
async fn own(route53: &Client, id: &str) -> Result<BTreeSet<String>> {
    let zone =
        route53.get_hosted_zone().id(id).send().await.map_err(classify).doing("read the hosted zone")?;
    let servers = zone.delegation_set().map(DelegationSet::name_servers).unwrap_or_default();
    Ok(servers.iter().map(|server| normal(server)).collect())
}

/// The zone's name servers in public DNS. None if the zone is unknown there, or if its name servers there do not serve
/// it, as after the zone was deleted and recreated.
async fn delegated(name_servers: &[SocketAddr], zone: &str) -> Result<BTreeSet<String>> {
    let resolver = resolver(name_servers).doing("find this machine's name servers")?;
    let response = match resolver.ns_lookup(format!("{zone}.")).await {
        Ok(response) => response,
        Err(error) if error.is_no_records_found() || is_lame(&error) => return Ok(BTreeSet::new()),
        Err(error) => return Err(error).doing(format!("look up the name servers of `{zone}`")),
    };
    let servers = response.answers().iter().filter_map(|record| match &record.data {
        RData::NS(server) => Some(normal(&server.0.to_utf8())),
        _ => None,
    });
    Ok(servers.collect())
}

/// Whether the resolver reports that the servers to which the zone is delegated do not serve it.
fn is_lame(error: &NetError) -> bool {
    let lame = [ResponseCode::ServFail, ResponseCode::Refused];
    matches!(error, NetError::Dns(DnsError::ResponseCode(code)) if lame.contains(code))
}

fn resolver(name_servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    if name_servers.is_empty() {
        return TokioResolver::builder_tokio()?.build();
    }
    let server = |address: &SocketAddr| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = address.port();
            connection
        });
        NameServerConfig::new(address.ip(), true, connections.into())
    };
    let config = ResolverConfig::from_name_servers(name_servers.iter().map(server).collect());
    Resolver::builder_with_config(config, TokioRuntimeProvider::default()).build()
}

/// The warning and its fix; `None` if the zone is delegated.
fn judge(zone: &str, own: &BTreeSet<String>, delegated: &BTreeSet<String>) -> Option<(String, String)> {
    // A registrar may list only some of the four servers; one is enough.
    if own.is_empty() || own.intersection(delegated).next().is_some() {
        return None;
    }
    let list = |servers: &BTreeSet<String>| servers.iter().cloned().collect::<Vec<_>>().join(", ");
    let found = if delegated.is_empty() { "no server".to_owned() } else { list(delegated) };
    let warning = format!(
        "the hosted zone `{zone}` is not delegated (DNS names {found} for it): its certificates cannot be issued, \
         and `up` would time out waiting for them"
    );
    let fix = format!(
        "set these name servers at the registrar, or as NS records in the parent zone: {}",
        list(own)
    );
    Some((warning, fix))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::judge;

    fn servers(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_zone_is_delegated_when_public_dns_has_one_of_its_servers() {
        let own = servers(&["ns-1.awsdns-1.org", "ns-2.awsdns-2.com"]);
        assert_eq!(judge("payments.example", &own, &servers(&["ns-2.awsdns-2.com"])), None);
        let (warning, fix) = judge("payments.example", &own, &servers(&["ns.elsewhere.example"])).unwrap();
        assert!(warning.contains("(DNS names ns.elsewhere.example for it)"), "{warning}");
        assert!(fix.ends_with("ns-1.awsdns-1.org, ns-2.awsdns-2.com"), "{fix}");
        let (warning, _) = judge("payments.example", &own, &servers(&[])).unwrap();
        assert!(warning.contains("(DNS names no server for it)"), "{warning}");
    }
}
