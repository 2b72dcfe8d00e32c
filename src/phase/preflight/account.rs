//! The account: whose credentials, which regions, which zones.

use aws_sdk_route53::types::HostedZone;

use crate::{
    aws::{
        always_enabled, classify,
        identity::{Identity, Principal, identity},
    },
    config::Region,
    step::{Context, Error, ErrorExt, Result},
};

/// The principal that deploys, in the account that is configured.
pub async fn deployer(cx: &Context) -> Result<String> {
    let config = &cx.world.config;
    let found = identity(&cx.world.aws.in_region(&config.hub().aws_region)).await?;
    judge(found, &config.account)
}

fn judge(found: Identity, account: &str) -> Result<String> {
    if found.account != account {
        let message = format!("the AWS credentials belong to account {}, not {account}", found.account);
        return Err(Error::permanent(message).with_hint(
            "use credentials of the configured account (AWS_PROFILE), or correct `account` in paydeploy.toml",
        ));
    }
    match found.principal {
        Principal::User(arn) | Principal::Role(arn) => Ok(arn),
        Principal::Other(arn) => {
            Err(Error::permanent(format!("`{arn}` cannot be given access to a cluster"))
                .with_hint("use the credentials of an IAM user or role"))
        }
    }
}

/// The regions that cannot be used, each as an error.
pub async fn regions(cx: &Context) -> Vec<Error> {
    let config = &cx.world.config;
    let aws = cx.world.aws.in_region(always_enabled(&config.hub().aws_region));
    let all = aws_sdk_ec2::Client::new(&aws).describe_regions().all_regions(true).send().await;
    let all = match all.map_err(classify).doing("list the account's regions") {
        Ok(all) => all,
        Err(error) => return vec![error],
    };
    let known: Vec<(&str, &str)> = all
        .regions()
        .iter()
        .map(|region| (region.region_name().unwrap_or_default(), region.opt_in_status().unwrap_or_default()))
        .collect();
    config.regions.values().filter_map(|region| usable(region, &known).err()).collect()
}

fn usable(region: &Region, known: &[(&str, &str)]) -> Result<()> {
    let Region { name, aws_region, .. } = region;
    match known.iter().find(|(known, _)| known == aws_region) {
        None => Err(Error::permanent(format!("region `{name}`: AWS has no region `{aws_region}`"))
            .with_hint(format!("correct `aws_region` of [regions.{name}] in paydeploy.toml"))),
        Some((_, "not-opted-in")) => Err(Error::permanent(format!(
            "region `{name}`: `{aws_region}` is not enabled for this account"
        ))
        .with_hint(format!(
            "enable it, which takes some minutes: `aws account enable-region --region-name {aws_region}`"
        ))),
        Some(_) => Ok(()),
    }
}

/// The regions whose domain has no hosted zone, each as an error.
pub async fn zones(cx: &Context) -> Vec<Error> {
    let config = &cx.world.config;
    let aws = cx.world.aws.in_region(always_enabled(&config.hub().aws_region));
    let zones = aws_sdk_route53::Client::new(&aws).list_hosted_zones().into_paginator().items().send();
    let zones: Result<Vec<HostedZone>, _> = zones.collect().await;
    let zones = match zones.map_err(classify).doing("list the hosted zones") {
        Ok(zones) => zones,
        Err(error) => return vec![error],
    };
    let public: Vec<&str> = zones
        .iter()
        .filter(|zone| zone.config().is_none_or(|config| !config.private_zone()))
        .map(|zone| zone.name().trim_end_matches('.'))
        .collect();
    config.regions.values().filter_map(|region| zoned(region, &public).err()).collect()
}

fn zoned(region: &Region, zones: &[&str]) -> Result<()> {
    let Region { name, domain, hosted_zone, .. } = region;
    let below = |zone: &str| domain.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'));
    let found = match hosted_zone {
        Some(zone) => zones.iter().filter(|known| *known == zone).count(),
        None => usize::from(zones.iter().any(|zone| below(zone))),
    };
    let zone = hosted_zone.as_deref().unwrap_or(domain);
    match found {
        0 => Err(Error::permanent(format!(
            "region `{name}`: no public hosted zone `{zone}` in this account"
        ))
        .with_hint(format!(
            "create the zone for `{domain}` in Route 53 and delegate it, or correct `hosted_zone_name`"
        ))),
        1 => Ok(()),
        count => {
            Err(Error::permanent(format!("region `{name}`: {count} public hosted zones named `{zone}`"))
                .with_hint("delete the ones that are not delegated to"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{judge, usable, zoned};
    use crate::{
        aws::identity::{Identity, Principal},
        config::{Region, Role},
    };

    fn region(hosted_zone: Option<&str>) -> Region {
        Region {
            name: "spain".parse().unwrap(),
            aws_region: "eu-south-2".to_owned(),
            role: Role::Hub,
            var_file: "spain.tfvars".into(),
            domain: "api-es.payments.example".to_owned(),
            vpc_cidr: None,
            hosted_zone: hosted_zone.map(str::to_owned),
        }
    }

    #[test]
    fn credentials_of_another_account_are_refused() {
        let found = |principal| Identity { account: "210987654321".to_owned(), principal };
        let user = Principal::User("arn:aws:iam::210987654321:user/ana".to_owned());
        let error = judge(found(user.clone()), "123456789012").unwrap_err();
        assert_eq!(error.to_string(), "the AWS credentials belong to account 210987654321, not 123456789012");
        assert_eq!(judge(found(user), "210987654321").unwrap(), "arn:aws:iam::210987654321:user/ana");
    }

    #[test]
    fn the_accounts_root_is_refused() {
        let principal = Principal::Other("arn:aws:iam::123456789012:root".to_owned());
        let found = Identity { account: "123456789012".to_owned(), principal };
        assert!(judge(found, "123456789012").is_err());
    }

    #[test]
    fn a_region_must_exist_and_be_enabled() {
        let region = region(None);
        usable(&region, &[("eu-south-2", "opted-in")]).unwrap();
        let error = usable(&region, &[("eu-south-2", "not-opted-in")]).unwrap_err();
        assert_eq!(error.to_string(), "region `spain`: `eu-south-2` is not enabled for this account");
        let error = usable(&region, &[("us-east-1", "opt-in-not-required")]).unwrap_err();
        assert_eq!(error.to_string(), "region `spain`: AWS has no region `eu-south-2`");
    }

    #[test]
    fn a_domain_needs_its_one_zone() {
        let named = region(Some("payments.example"));
        zoned(&named, &["payments.example"]).unwrap();
        assert!(zoned(&named, &["example"]).unwrap_err().to_string().contains("no public hosted zone"));
        assert!(zoned(&named, &["payments.example"; 2]).unwrap_err().to_string().contains("2 public"));
        zoned(&region(None), &["payments.example"]).unwrap();
        assert!(zoned(&region(None), &["ayments.example"]).is_err());
    }
}
