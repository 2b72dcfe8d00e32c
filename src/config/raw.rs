//! `paydeploy.toml` as it is written; the schema is generated from these types.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Profile, Role};

/// What paydeploy deploys, and where. All paths are relative to this file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "paydeploy.toml")]
pub struct File {
    /// Names everything that is made: 3 to 26 lower-case letters, digits and single hyphens.
    pub project: String,
    /// The AWS account, 12 digits. Credentials of any other account are refused.
    pub account: String,
    /// `production` turns deletion protection, final snapshots and recovery windows on.
    pub profile: Profile,
    pub terraform: Terraform,
    pub image: Image,
    pub gitops: Gitops,
    /// What is asked before anything is begun, where the usual answer does not hold.
    #[serde(default)]
    pub preflight: Preflight,
    /// How a new release spreads.
    pub rollout: Option<Rollout>,
    /// Charts that every cluster gets; `argo-cd` goes to the hub only.
    #[serde(default)]
    pub addons: BTreeMap<String, Addon>,
    /// One table a region; exactly one has the role `hub`.
    pub regions: BTreeMap<String, Region>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Terraform {
    /// The folder with the root modules `foundation`, `cluster`, `database` and `audit`.
    pub stacks: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The build context.
    pub context: String,
    /// Relative to the context.
    pub dockerfile: String,
    /// The repository's name in every region's registry.
    pub repository: String,
    /// Build arguments. Not for secrets: they stay in the image's history.
    #[serde(default)]
    pub build_args: BTreeMap<String, String>,
    /// The network of the build's `RUN` steps: `default`, `host` or `none`.
    pub network: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gitops {
    /// The URL that Argo CD reads the chart from.
    pub repository: String,
    /// The chart's path in that repository.
    pub chart: String,
    /// The folder with the AppProject and the ApplicationSet; `gitops/argocd` if not given.
    pub manifests: Option<String>,
    /// The application's namespace in every cluster; the project's name if not given.
    pub namespace: Option<String>,
    /// The name of a Secrets Manager secret in the hub's region with `username` and `password`.
    pub credentials: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Preflight {
    /// A page that tells, as plain text, with which address this machine is seen: the clusters must admit it.
    /// `https://checkip.amazonaws.com` if not given; `off` where they are reached in another way.
    pub egress: Option<String>,
    /// Name servers, as `ADDRESS` or `ADDRESS:PORT`, that know how the world sees the hosted zones; this machine's
    /// if not given.
    #[serde(default)]
    pub name_servers: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// Every region's name once: the next one follows when the one before is healthy.
    pub order: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Addon {
    /// `oci://…`, or a path.
    pub chart: String,
    /// An exact version: what is not pinned changes by itself.
    pub version: String,
    /// A file of Helm values.
    pub values: Option<String>,
    /// The namespace, where it is not the one that the chart's documentation uses.
    pub namespace: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// For instance `eu-south-2`.
    pub aws_region: String,
    pub role: Role,
    /// The region's Terraform variables.
    pub var_file: String,
    /// The application's host name in this region.
    pub domain: String,
}

/// The JSON schema of `paydeploy.toml`.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(File).to_value()
}
