//! Whether the world's DNS leads to a hosted zone. A zone that was made and never delegated is found out only when
//! its certificate is not issued, many minutes later.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use aws_sdk_route53::{Client, types::DelegationSet};
use hickory_resolver::{
    Resolver, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{op::ResponseCode, rr::RData},
};

use crate::{
    aws::classify,
    step::{Context, ErrorExt, Result},
};

/// For both questions.
const PATIENCE: Duration = Duration::from_secs(10);

/// Warns where it does not. Does not fail: what is asked may remember for a while what was true before.
pub async fn look(cx: &Context, route53: &Client, zone: &str, id: &str) {
    let asked =
        async { tokio::try_join!(own(route53, id), seen(&cx.world.config.preflight.name_servers, zone)) };
    let why = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok((own, seen))) => {
            if let Some((warning, fix)) = judge(zone, &own, &seen) {
                cx.warn(warning, fix);
            }
            return;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    cx.warn(
        format!("whether the hosted zone `{zone}` is delegated could not be found out: {why}"),
        "name servers that can tell in `name_servers` of [preflight] in paydeploy.toml",
    );
}

/// The name servers that Route 53 gave to the zone.
async fn own(route53: &Client, id: &str) -> Result<BTreeSet<String>> {
    let zone = route53.get_hosted_zone().id(id).send().await.map_err(classify).doing("look at the zone")?;
    let servers = zone.delegation_set().map(DelegationSet::name_servers).unwrap_or_default();
    Ok(servers.iter().map(|server| plain(server)).collect())
}

/// The name servers that the world sees; none where it knows no such zone, or only such that do not know it
/// themselves, as those of a zone that was deleted and made anew.
async fn seen(ask: &[SocketAddr], zone: &str) -> Result<BTreeSet<String>> {
    let resolver = resolver(ask).doing("find this machine's name servers")?;
    let answer = match resolver.ns_lookup(format!("{zone}.")).await {
        Ok(answer) => answer,
        Err(error) if error.is_no_records_found() || is_lame(&error) => return Ok(BTreeSet::new()),
        Err(error) => return Err(error).doing(format!("ask for the name servers of `{zone}`")),
    };
    let servers = answer.answers().iter().filter_map(|record| match &record.data {
        RData::NS(server) => Some(plain(&server.0.to_utf8())),
        _ => None,
    });
    Ok(servers.collect())
}

/// What a resolver answers that has asked the servers it was led to, in vain.
fn is_lame(error: &NetError) -> bool {
    let lame = [ResponseCode::ServFail, ResponseCode::Refused];
    matches!(error, NetError::Dns(DnsError::ResponseCode(answer)) if lame.contains(answer))
}

fn resolver(ask: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    if ask.is_empty() {
        return TokioResolver::builder_tokio()?.build();
    }
    let server = |address: &SocketAddr| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = address.port();
            connection
        });
        NameServerConfig::new(address.ip(), true, connections.into())
    };
    let config = ResolverConfig::from_name_servers(ask.iter().map(server).collect());
    Resolver::builder_with_config(config, TokioRuntimeProvider::default()).build()
}

fn plain(server: &str) -> String {
    server.trim_end_matches('.').to_lowercase()
}

/// The warning and its fix.
fn judge(zone: &str, own: &BTreeSet<String>, seen: &BTreeSet<String>) -> Option<(String, String)> {
    // a registrar may name some of the four; one is enough to get there
    if own.is_empty() || own.intersection(seen).next().is_some() {
        return None;
    }
    let list = |servers: &BTreeSet<String>| servers.iter().cloned().collect::<Vec<_>>().join(", ");
    let found = if seen.is_empty() { "nobody".to_owned() } else { list(seen) };
    let warning = format!(
        "the hosted zone `{zone}` is not delegated (DNS names {found} for it): its certificates cannot be issued, \
         and `up` will wait for them in vain"
    );
    let fix = format!("name these at the registrar, or as NS records of the zone above: {}", list(own));
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
    fn a_zone_is_delegated_when_the_world_finds_one_of_its_servers() {
        let own = servers(&["ns-1.awsdns-1.org", "ns-2.awsdns-2.com"]);
        assert_eq!(judge("payments.example", &own, &servers(&["ns-2.awsdns-2.com"])), None);
        let (warning, fix) = judge("payments.example", &own, &servers(&["ns.elsewhere.example"])).unwrap();
        assert!(warning.contains("(DNS names ns.elsewhere.example for it)"), "{warning}");
        assert!(fix.ends_with("ns-1.awsdns-1.org, ns-2.awsdns-2.com"), "{fix}");
        let (warning, _) = judge("payments.example", &own, &servers(&[])).unwrap();
        assert!(warning.contains("(DNS names nobody for it)"), "{warning}");
    }
}
