//! The Terraform variables of a region that paydeploy itself reads, and whether networks overlap.

use std::{collections::BTreeMap, fs, net::Ipv4Addr, path::Path};

use serde::Deserialize;

use super::Region;

/// The variables that preflight and the configuration's own checks need.
#[derive(Debug, Default, Deserialize)]
pub struct Variables {
    pub vpc_cidr: Option<String>,
    pub hosted_zone_name: Option<String>,
    #[serde(default)]
    pub cluster_endpoint_public_access_cidrs: Vec<String>,
    data_residency: Option<String>,
    #[serde(default)]
    data_residency_exception: String,
    compliance: Option<String>,
}

impl Variables {
    /// Reads a `.tfvars` file.
    ///
    /// # Errors
    /// When it cannot be read, is not valid HCL, or its network is not a valid CIDR block.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(file)?;
        let variables: Self = hcl::from_str(&text)
            .map_err(|error| anyhow::anyhow!("`{}` is not valid HCL: {error}", file.display()))?;
        if let Some(cidr) = &variables.vpc_cidr {
            range(cidr).ok_or_else(|| {
                anyhow::anyhow!("`{}`: `vpc_cidr` `{cidr}` is not a valid CIDR block", file.display())
            })?;
        }
        Ok(variables)
    }

    /// The tags that name the law of the region's data, with the keys that Terraform gives them (`common/context.tf`).
    pub fn data_tags(&self) -> BTreeMap<&'static str, String> {
        let exception = Some(self.data_residency_exception.clone()).filter(|exception| !exception.is_empty());
        [
            ("DataResidency", self.data_residency.clone()),
            ("DataResidencyException", exception),
            ("Compliance", self.compliance.clone()),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }
}

/// Pairs of regions whose networks share addresses.
pub fn overlaps<'a>(regions: impl Iterator<Item = &'a Region>) -> Vec<(&'a Region, &'a Region)> {
    let all: Vec<(&Region, (u32, u32))> =
        regions.filter_map(|region| Some((region, range(region.vpc_cidr.as_deref()?)?))).collect();
    let mut pairs = Vec::new();
    for (index, (one, (first, last))) in all.iter().enumerate() {
        for (other, (other_first, other_last)) in &all[..index] {
            if first <= other_last && other_first <= last {
                pairs.push((*one, *other));
            }
        }
    }
    pairs
}

/// Whether an IPv4 network contains an address; `None` where it is not a valid network.
pub fn admits(cidr: &str, address: Ipv4Addr) -> Option<bool> {
    let (first, last) = range(cidr)?;
    Some((first..=last).contains(&address.to_bits()))
}

/// The first and last address of an IPv4 network; `None` where it is not valid.
fn range(cidr: &str) -> Option<(u32, u32)> {
    let (address, length) = cidr.split_once('/')?;
    let (address, length) = (address.parse::<Ipv4Addr>().ok()?.to_bits(), length.parse::<u32>().ok()?);
    // A shift by 32, for a `/32`, would overflow: such a network has no host bits.
    let hosts = u32::MAX.checked_shr(length).unwrap_or(0);
    (length <= 32).then_some((address & !hosts, address | hosts))
}
