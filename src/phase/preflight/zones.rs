//! Checks that the regions' public hosted zones exist and are delegated.

use std::collections::BTreeMap;

use super::delegation;
use crate::{
    aws::zones::{self, Zone},
    config::Region,
    step::{Context, Error, Result},
};

/// Returns one error per region whose domain has no hosted zone, and warns about each zone that is not delegated.
pub async fn problems(cx: &Context) -> Vec<Error> {
    let config = &cx.world.config;
    let client = zones::client(&cx.world.aws, &config.hub().aws_region);
    let public = match zones::public(&client).await {
        Ok(public) => public,
        Err(error) => return vec![error],
    };
    let (mut found, mut used) = (Vec::new(), BTreeMap::new());
    for region in config.regions.values() {
        match zone_of(region, &public) {
            Ok(zone) => drop(used.insert(zone.name.as_str(), zone.id.as_str())),
            Err(error) => found.push(error),
        }
    }
    futures::future::join_all(used.iter().map(|(name, id)| delegation::check(cx, &client, name, id))).await;
    found
}

fn zone_of<'a>(region: &Region, zones: &'a [Zone]) -> Result<&'a Zone> {
    let Region { name, domain, hosted_zone, .. } = region;
    let below = |zone: &str| domain.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'));
    let closest = || zones.iter().filter(|zone| below(&zone.name)).max_by_key(|zone| zone.name.len());
    let found: Vec<&Zone> = match hosted_zone {
        Some(wanted) => zones.iter().filter(|zone| zone.name == *wanted).collect(),
        None => closest().into_iter().collect(),
    };
    let zone = hosted_zone.as_deref().unwrap_or(domain);
    match found.as_slice() {
        [] => Err(Error::permanent(format!(
            "region `{name}`: no public hosted zone `{zone}` in this account"
        ))
        .with_hint(format!(
            "create the zone for `{domain}` in Route 53 and delegate it, or correct `hosted_zone_name`"
        ))),
        [zone] => Ok(zone),
        several => {
            let count = several.len();
            Err(Error::permanent(format!("region `{name}`: {count} public hosted zones named `{zone}`"))
                .with_hint("delete those that are not delegated"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Zone, zone_of};
    use crate::{config::Region, step::testing};

    fn region(hosted_zone: Option<&str>) -> Region {
        Region { hosted_zone: hosted_zone.map(str::to_owned), ..testing::region() }
    }

    fn zone(name: &str) -> Zone {
        Zone { name: name.to_owned(), id: "Z1".to_owned() }
    }

    #[test]
    fn a_domain_needs_exactly_one_zone() {
        let named = region(Some("payments.example"));
        zone_of(&named, &[zone("payments.example")]).unwrap();
        let error = zone_of(&named, &[zone("example")]).unwrap_err();
        assert!(error.to_string().contains("no public hosted zone"));
        let error = zone_of(&named, &vec![zone("payments.example"); 2]).unwrap_err();
        assert!(error.to_string().contains("2 public"));
        let both = [zone("payments.example"), zone("example")];
        let region_without = region(None);
        let found = zone_of(&region_without, &both).unwrap();
        assert_eq!(found.name, "payments.example");
        assert!(zone_of(&region(None), &[zone("ayments.example")]).is_err());
    }
}
