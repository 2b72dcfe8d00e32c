//! Checks the AWS account: the deploying principal, and whether the regions are enabled.

use crate::{
    aws::{
        always_enabled, classify,
        identity::{Identity, Principal, identity},
    },
    config::Region,
    step::{Context, Error, ErrorExt, Result},
};

/// The ARN of the deploying principal, which must belong to the configured account.
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

/// One error per region that does not exist or is not enabled, and the other regions.
pub async fn regions(cx: &Context) -> (Vec<Error>, Vec<&Region>) {
    let config = &cx.world.config;
    let aws = cx.world.aws.in_region(always_enabled(&config.hub().aws_region));
    let all = aws_sdk_ec2::Client::new(&aws).describe_regions().all_regions(true).send().await;
    let all = match all.map_err(classify).doing("list the account's regions") {
        Ok(all) => all,
        Err(error) => return (vec![error], Vec::new()),
    };
    let known: Vec<(&str, &str)> = all
        .regions()
        .iter()
        .map(|region| (region.region_name().unwrap_or_default(), region.opt_in_status().unwrap_or_default()))
        .collect();
    let (mut problems, mut others) = (Vec::new(), Vec::new());
    for region in config.regions.values() {
        match usable(region, &known) {
            Ok(()) => others.push(region),
            Err(error) => problems.push(error),
        }
    }
    (problems, others)
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

#[cfg(test)]
mod tests {
    use super::{judge, usable};
    use crate::{
        aws::identity::{Identity, Principal},
        step::testing,
    };

    #[test]
    fn credentials_of_another_account_are_refused() {
        let found = |principal| Identity { account: "210987654321".to_owned(), principal };
        let user = Principal::User("arn:aws:iam::210987654321:user/ana".to_owned());
        let error = judge(found(user.clone()), "123456789012").unwrap_err();
        assert_eq!(error.to_string(), "the AWS credentials belong to account 210987654321, not 123456789012");
        assert_eq!(judge(found(user), "210987654321").unwrap(), "arn:aws:iam::210987654321:user/ana");
    }

    #[test]
    fn the_root_user_of_the_account_is_refused() {
        let principal = Principal::Other("arn:aws:iam::123456789012:root".to_owned());
        let found = Identity { account: "123456789012".to_owned(), principal };
        assert!(judge(found, "123456789012").is_err());
    }

    #[test]
    fn a_region_must_exist_and_be_enabled() {
        let region = testing::region();
        usable(&region, &[("eu-south-2", "opted-in")]).unwrap();
        let error = usable(&region, &[("eu-south-2", "not-opted-in")]).unwrap_err();
        assert_eq!(error.to_string(), "region `spain`: `eu-south-2` is not enabled for this account");
        let error = usable(&region, &[("us-east-1", "opt-in-not-required")]).unwrap_err();
        assert_eq!(error.to_string(), "region `spain`: AWS has no region `eu-south-2`");
    }
}
