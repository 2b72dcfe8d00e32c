//! Names: of phases, regions, steps and runs.

use std::{borrow::Cow, fmt, ops::RangeInclusive, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One of the seven phases in the operator's order, or the preflight that comes before them.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
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
    /// The seven phases, without preflight.
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct RegionName(String);

#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a valid region name: use 1 to 16 lower-case letters, digits and single hyphens, a letter first"
)]
pub struct BadRegionName(String);

/// Whether a text is a DNS label of an allowed length that starts with a letter and has no double hyphen, so that
/// other names can be composed of it.
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct StepId {
    /// The service, in a project that deploys several. Not set today; readers must expect it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    pub phase: Phase,
    pub region: Option<RegionName>,
    pub part: Option<Cow<'static, str>>,
}

impl StepId {
    /// A step without a region.
    pub fn global(phase: Phase, part: impl Into<Cow<'static, str>>) -> Self {
        Self { service: None, phase, region: None, part: Some(part.into()) }
    }

    /// The only step of a phase in a region.
    pub fn of(phase: Phase, region: &RegionName) -> Self {
        Self { service: None, phase, region: Some(region.clone()), part: None }
    }

    /// A part of a phase in a region.
    pub fn part(phase: Phase, region: &RegionName, part: impl Into<Cow<'static, str>>) -> Self {
        Self { service: None, phase, region: Some(region.clone()), part: Some(part.into()) }
    }

    /// The name of the step's log file in its run's folder.
    pub fn log_name(&self) -> String {
        format!("{}.log", self.to_string().replace('/', "."))
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A colon separates the service, because a slash could also start a region.
        let service = self.service.as_ref().map(|service| format!("{service}:")).unwrap_or_default();
        let mut name = format!("{service}{}", self.phase);
        for piece in
            [self.region.as_ref().map(RegionName::as_str), self.part.as_deref()].into_iter().flatten()
        {
            name.push('/');
            name.push_str(piece);
        }
        f.pad(&name)
    }
}

/// A run's id: a UUIDv7 in lower-case hexadecimal, so that ids sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct RunId(String);

impl RunId {
    pub fn new() -> Self {
        Self(uuid::Uuid::now_v7().simple().to_string())
    }

    /// An id that the operator typed or that was found on disk.
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
    use super::{Phase, StepId, is_name};

    #[test]
    fn a_step_of_a_service_survives_a_round_trip() {
        let step = StepId { service: Some("payouts".to_owned()), ..StepId::global(Phase::Docker, "build") };
        assert_eq!(step.to_string(), "payouts:docker/build");
        let json = serde_json::to_string(&step).unwrap();
        assert_eq!(serde_json::from_str::<StepId>(&json).unwrap(), step);
    }

    #[test]
    fn without_a_service_a_step_is_named_and_written_as_before() {
        let step = StepId::global(Phase::Docker, "build");
        assert_eq!((step.to_string(), step.log_name()), ("docker/build".into(), "docker.build.log".into()));
        let json = serde_json::to_string(&step).unwrap();
        assert_eq!(json, r#"{"phase":"docker","region":null,"part":"build"}"#);
        assert_eq!(serde_json::from_str::<StepId>(&json).unwrap(), step);
    }

    #[test]
    fn a_name_is_a_short_dns_label() {
        assert!(is_name("payment-latency-api", 3..=26));
        for bad in
            ["ab", "9lives", "a--b", "a-", "-a-b", "Payments", "pay_ments", "x2345678901234567890123456789"]
        {
            assert!(!is_name(bad, 3..=26), "{bad}");
        }
    }
}
