//! `paydeploy.toml`: typed and checked, with all its problems reported together.

mod check;
mod deployed;
mod load;
mod network;
mod problem;
mod raw;
mod shape;
pub mod stack;
mod text;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

pub use self::{
    deployed::Deployed,
    load::{LoadError, find, load, parse},
    network::admits,
    problem::{Problem, Problems},
    raw::schema,
    text::major_and_minor,
};
use crate::task::RegionName;

/// How well data is protected against deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    Staging,
    Production,
}

impl Profile {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}

/// A region's part: Argo CD runs in the hub and deploys to the hub and the spokes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Hub,
    Spoke,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Spoke => "spoke",
        }
    }
}

/// The whole configuration, checked: one hub, paths that exist, distinct networks and domains.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder of `paydeploy.toml`; the paths below are already joined to it.
    pub root: PathBuf,
    pub project: String,
    /// 12 digits.
    pub account: String,
    pub profile: Profile,
    pub terraform: Terraform,
    pub image: Image,
    pub gitops: Gitops,
    pub preflight: Preflight,
    /// Regions in the order in which a new release reaches them.
    pub rollout: Vec<RegionName>,
    pub addons: BTreeMap<String, Addon>,
    pub regions: BTreeMap<RegionName, Region>,
}

#[derive(Debug, Clone)]
pub struct Terraform {
    /// The folder with one root module per stack.
    pub stacks: PathBuf,
}

#[derive(Debug, Clone)]
pub struct Image {
    pub context: PathBuf,
    /// Relative to the context.
    pub dockerfile: PathBuf,
    pub repository: String,
    pub build_args: BTreeMap<String, String>,
    /// The engine's network for `RUN` steps: `default`, `host` or `none`.
    pub network: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Gitops {
    /// The URL that Argo CD reads from.
    pub repository: String,
    /// The chart's path in the repository.
    pub chart: PathBuf,
    /// The folder with the AppProject and the ApplicationSet.
    pub manifests: PathBuf,
    /// The application's namespace in every cluster.
    pub namespace: String,
    /// Name of the Secrets Manager secret in the hub's region with Argo CD's credentials: `username` and
    /// `password`, or `sshPrivateKey`.
    pub credentials: Option<String>,
}

impl Gitops {
    /// The private address and the port to which the hub's nodes must be opened; `None` if the repository is on 443.
    pub fn private_server(&self) -> Option<(Ipv4Addr, u16)> {
        text::private_git_server(&self.repository)
    }
}

#[derive(Debug, Clone, Default)]
pub struct Preflight {
    /// The page that returns this machine's public IP address; `None` to skip the check.
    pub egress: Option<Url>,
    /// Name servers that resolve the hosted zones as the internet does; empty for this machine's own.
    pub name_servers: Vec<SocketAddr>,
}

/// A chart that `helm-deps` (or, for `argo-cd`, the phase `argocd`) installs.
#[derive(Debug, Clone)]
pub struct Addon {
    /// `oci://REGISTRY/NAME`, `https://REPOSITORY#NAME`, or an absolute path.
    pub chart: String,
    pub version: String,
    pub values: Option<PathBuf>,
    pub namespace: String,
}

#[derive(Debug, Clone)]
pub struct Region {
    pub name: RegionName,
    pub aws_region: String,
    pub role: Role,
    pub var_file: PathBuf,
    pub domain: String,
    /// From the var file: the region's network.
    pub vpc_cidr: Option<String>,
    /// From the var file: the zone that must hold `domain`.
    pub hosted_zone: Option<String>,
    /// From the var file: the networks that may reach the cluster's public endpoint.
    pub admitted: Vec<String>,
    /// From the var file: the tags that name the law of the region's data.
    pub data_tags: BTreeMap<&'static str, String>,
}

impl Config {
    pub fn hub(&self) -> &Region {
        self.regions
            .values()
            .find(|region| region.role == Role::Hub)
            .expect("a checked configuration has exactly one hub")
    }

    /// The name of a region's resources, its EKS cluster among them.
    pub fn name_in(&self, region: &RegionName) -> String {
        format!("{}-{region}", self.project)
    }

    /// The bucket with the region's Terraform state.
    pub fn state_bucket(&self, region: &Region) -> String {
        format!("{}-tfstate-{}-{}", self.project, self.account, region.aws_region)
    }

    /// The alias of the key that encrypts the region's data, as the stack `foundation` names it.
    pub fn data_key_alias(&self, region: &RegionName) -> String {
        format!("alias/{}", self.name_in(region))
    }

    /// The alias of the key that encrypts the region's Terraform state.
    pub fn state_key_alias(&self, region: &RegionName) -> String {
        format!("alias/{}-state", self.name_in(region))
    }

    /// The tags of what paydeploy itself creates in a region: Terraform's (`common/context.tf`), but for the creator.
    pub fn tags<'a>(&'a self, region: &'a Region) -> BTreeMap<&'a str, &'a str> {
        let mut tags: BTreeMap<&str, &str> =
            region.data_tags.iter().map(|(key, value)| (*key, value.as_str())).collect();
        tags.extend([
            ("Project", self.project.as_str()),
            ("Environment", self.profile.as_str()),
            ("Region", region.name.as_str()),
            ("ManagedBy", "paydeploy"),
        ]);
        tags
    }

    /// A stack's key in its region's state bucket.
    pub fn state_key(&self, region: &RegionName, stack: &str) -> String {
        format!("{}/{region}/{stack}.tfstate", self.project)
    }
}
