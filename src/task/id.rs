//! Names: of phases, regions, steps and runs.

use std::{borrow::Cow, fmt, ops::RangeInclusive, str::FromStr};

use serde::{Deserialize, Serialize};

/// One of the seven, in the user's order, after the look at the world that comes before them all.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Preflight,
    Terraform,
    Kubeconfig,
    Docker,
    HelmDeps,
    Secrets,
    Argocd,
    Apps,
}

impl Phase {
    /// The phases that a user can name.
    pub const ALL: [Self; 7] = [
        Self::Terraform,
        Self::Kubeconfig,
        Self::Docker,
        Self::HelmDeps,
        Self::Secrets,
        Self::Argocd,
        Self::Apps,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Terraform => "terraform",
            Self::Kubeconfig => "kubeconfig",
            Self::Docker => "docker",
            Self::HelmDeps => "helm-deps",
            Self::Secrets => "secrets",
            Self::Argocd => "argocd",
            Self::Apps => "apps",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A region's name in `paydeploy.toml`, as in `[regions.spain]`: a lower-case DNS label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegionName(String);

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no region name: use 1 to 16 lower-case letters, digits and single hyphens, a letter first")]
pub struct BadRegionName(String);

/// Whether a text is a DNS label of such a length, a letter first and without double hyphens: what other names can be
/// made of.
pub fn is_name(text: &str, lengths: RangeInclusive<usize>) -> bool {
    lengths.contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && !text.contains("--")
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

impl RegionName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RegionName {
    type Err = BadRegionName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if is_name(name, 1..=16) { Ok(Self(name.to_owned())) } else { Err(BadRegionName(name.to_owned())) }
    }
}

impl TryFrom<String> for RegionName {
    type Error = BadRegionName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<RegionName> for String {
    fn from(name: RegionName) -> Self {
        name.0
    }
}

impl fmt::Display for RegionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A step's name: `terraform/spain/cluster`, `kubeconfig/mexico`, `docker/build`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepId {
    pub phase: Phase,
    pub region: Option<RegionName>,
    pub part: Option<Cow<'static, str>>,
}

impl StepId {
    /// A step of no region.
    pub fn global(phase: Phase, part: impl Into<Cow<'static, str>>) -> Self {
        Self { phase, region: None, part: Some(part.into()) }
    }

    /// The only step of a phase in a region.
    pub fn of(phase: Phase, region: &RegionName) -> Self {
        Self { phase, region: Some(region.clone()), part: None }
    }

    /// A part of a phase in a region.
    pub fn part(phase: Phase, region: &RegionName, part: impl Into<Cow<'static, str>>) -> Self {
        Self { phase, region: Some(region.clone()), part: Some(part.into()) }
    }

    /// The name of the step's log file in its run's folder.
    pub fn log_name(&self) -> String {
        format!("{}.log", self.to_string().replace('/', "."))
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name = self.phase.as_str().to_owned();
        for piece in
            [self.region.as_ref().map(RegionName::as_str), self.part.as_deref()].into_iter().flatten()
        {
            name.push('/');
            name.push_str(piece);
        }
        f.pad(&name)
    }
}

/// A run's name: a UUIDv7 in lower-case hexadecimal, so that names sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId(String);

impl RunId {
    pub fn new() -> Self {
        Self(uuid::Uuid::now_v7().simple().to_string())
    }

    /// A name that somebody typed or that was found on disk.
    pub fn named(name: &str) -> Self {
        Self(name.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for RunId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_fit_into_those_that_are_made_of_them() {
        assert!(is_name("payment-latency-api", 3..=26));
        for bad in
            ["ab", "9lives", "a--b", "a-", "-a-b", "Payments", "pay_ments", "x2345678901234567890123456789"]
        {
            assert!(!is_name(bad, 3..=26), "{bad}");
        }
    }
}
