//! Service Quotas of one region, and what of them is in use.

use std::collections::{BTreeMap, BTreeSet};

use aws_config::SdkConfig;
use aws_sdk_ec2::types::{Filter, Tag};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::offers::Refused;

/// A quota that a deployment may exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    Addresses,
    Vpcs,
    /// vCPUs of running on-demand instances of the standard families.
    Vcpus,
}

impl Quota {
    /// The service's code and the quota's code.
    pub fn codes(self) -> (&'static str, &'static str) {
        match self {
            Self::Addresses => ("ec2", "L-0263D0A3"),
            Self::Vpcs => ("vpc", "L-F678F1CE"),
            Self::Vcpus => ("ec2", "L-1216C47A"),
        }
    }
}

/// How many of something exist in a region.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    pub all: u64,
    /// Those of them with the tags of this deployment.
    pub ours: u64,
}

/// The tags that the stacks give to everything that they create.
#[derive(Debug, Clone, Copy)]
pub struct Tags<'a> {
    pub project: &'a str,
    pub region: &'a str,
}

impl Tags<'_> {
    fn on(&self, tags: &[Tag]) -> bool {
        let has = |key: &str, value: &str| {
            tags.iter().any(|tag| tag.key() == Some(key) && tag.value() == Some(value))
        };
        has("Project", self.project) && has("Region", self.region)
    }

    fn count<'t>(&self, resources: impl Iterator<Item = &'t [Tag]>) -> Used {
        resources.fold(Used::default(), |used, tags| Used {
            all: used.all + 1,
            ours: used.ours + u64::from(self.on(tags)),
        })
    }
}

/// The value that applies to the account.
pub async fn limit(aws: &SdkConfig, quota: Quota) -> Result<u64, Refused> {
    let client = aws_sdk_servicequotas::Client::new(aws);
    let (service, code) = quota.codes();
    let applied = match client.get_service_quota().service_code(service).quota_code(code).send().await {
        Ok(applied) => applied.quota,
        // The account has no value of its own for this quota.
        Err(error) if error.code() == Some("NoSuchResourceException") => {
            let default = client.get_aws_default_service_quota().service_code(service).quota_code(code);
            default.send().await?.quota
        }
        Err(error) => return Err(error.into()),
    };
    // Quotas are whole numbers, which the API gives as floating point.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let value = applied.and_then(|quota| quota.value).unwrap_or_default() as u64;
    Ok(value)
}

pub async fn addresses(ec2: &aws_sdk_ec2::Client, tags: Tags<'_>) -> Result<Used, Refused> {
    let listed = ec2.describe_addresses().send().await?;
    Ok(tags.count(listed.addresses().iter().map(aws_sdk_ec2::types::Address::tags)))
}

pub async fn vpcs(ec2: &aws_sdk_ec2::Client, tags: Tags<'_>) -> Result<Used, Refused> {
    let listed = ec2.describe_vpcs().into_paginator().items().send().collect::<Result<Vec<_>, _>>().await?;
    Ok(tags.count(listed.iter().map(aws_sdk_ec2::types::Vpc::tags)))
}

/// The services to which a deployment has endpoints already, by full name.
pub async fn endpoints(ec2: &aws_sdk_ec2::Client, tags: Tags<'_>) -> Result<BTreeSet<String>, Refused> {
    let pages = ec2.describe_vpc_endpoints().into_paginator().items().send();
    let listed = pages.collect::<Result<Vec<_>, _>>().await?;
    Ok(listed.into_iter().filter(|one| tags.on(one.tags())).filter_map(|one| one.service_name).collect())
}

/// The running on-demand instances, by type.
pub async fn instances(ec2: &aws_sdk_ec2::Client, tags: Tags<'_>) -> Result<BTreeMap<String, Used>, Refused> {
    let running = Filter::builder().name("instance-state-name").values("pending").values("running").build();
    let pages = ec2.describe_instances().filters(running).into_paginator().items().send();
    let listed = pages.collect::<Result<Vec<_>, _>>().await?;
    let mut found: BTreeMap<String, Used> = BTreeMap::new();
    // Spot instances have a quota of their own.
    let on_demand = listed.iter().flat_map(aws_sdk_ec2::types::Reservation::instances);
    for instance in on_demand.filter(|instance| instance.instance_lifecycle().is_none()) {
        let Some(kind) = instance.instance_type() else { continue };
        let used = found.entry(kind.as_str().to_owned()).or_default();
        used.all += 1;
        used.ours += u64::from(tags.on(instance.tags()));
    }
    Ok(found)
}

/// Whether an instance type counts towards `Quota::Vcpus`: the families A, C, D, H, I, M, R, T and Z, but not those
/// that start with the same letters and have a quota of their own.
pub fn is_standard(instance_type: &str) -> bool {
    const OWN_QUOTA: [&str; 5] = ["dl", "hpc", "inf", "mac", "trn"];
    instance_type.starts_with(['a', 'c', 'd', 'h', 'i', 'm', 'r', 't', 'z'])
        && !OWN_QUOTA.iter().any(|family| instance_type.starts_with(family))
}

#[cfg(test)]
mod tests {
    use super::is_standard;

    #[test]
    fn instance_types_with_a_quota_of_their_own_are_not_standard() {
        for standard in ["t3.medium", "m7i.large", "i4i.xlarge", "im4gn.large", "d3.xlarge"] {
            assert!(is_standard(standard), "{standard}");
        }
        for other in
            ["inf2.xlarge", "trn1.2xlarge", "mac2.metal", "g5.xlarge", "hpc7a.12xlarge", "x2idn.metal"]
        {
            assert!(!is_standard(other), "{other}");
        }
    }
}
