//! `paydeploy.toml` as it is written. The JSON schema is generated from these types, and the comments are its
//! descriptions.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Profile, Role};

/// What paydeploy deploys, and where. All paths are relative to this file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "paydeploy.toml")]
pub struct File {
    /// The prefix of all resource names: 3 to 26 lower-case letters, digits and single hyphens.
    pub project: String,
    /// The AWS account ID, 12 digits. Credentials for any other account are refused.
    pub account: String,
    /// `production` enables deletion protection, final snapshots and recovery windows.
    pub profile: Profile,
    pub terraform: Terraform,
    pub image: Image,
    pub gitops: Gitops,
    /// Settings of the preflight checks.
    #[serde(default)]
    pub preflight: Preflight,
    /// The order in which regions get a new release; by default the hub, then the others by name.
    pub rollout: Option<Rollout>,
    /// Charts that are installed in every cluster; `argo-cd` only in the hub.
    #[serde(default)]
    pub addons: BTreeMap<String, Addon>,
    /// One table per region; exactly one has the role `hub`.
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
    /// The Dockerfile, relative to the context.
    pub dockerfile: String,
    /// The repository's name in every region's registry: the project's name.
    pub repository: String,
    /// Build arguments. They remain in the image's history, so they must not contain secrets.
    #[serde(default)]
    pub build_args: BTreeMap<String, String>,
    /// The network of the build's `RUN` steps: `default`, `host` or `none`.
    pub network: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gitops {
    /// The URL of the Git repository that Argo CD reads the chart from: `https://…`, or `ssh://…` on port
    /// 443. A server at a private IPv4 address may listen on any port: Terraform opens the hub's nodes to it.
    pub repository: String,
    /// The chart's path in that repository.
    pub chart: String,
    /// The folder with the AppProject and the ApplicationSet; by default `gitops/argocd`.
    pub manifests: Option<String>,
    /// The application's namespace in every cluster; by default the project's name. Only the application may
    /// use it.
    pub namespace: Option<String>,
    /// The name of a Secrets Manager secret in the hub's region with Argo CD's credentials for the
    /// repository: `username` and `password`, or `sshPrivateKey`.
    pub credentials: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Preflight {
    /// The URL of a page that returns this machine's public IP address as plain text, which the clusters must
    /// admit; by default `https://checkip.amazonaws.com`. `off` skips the check, where the clusters are
    /// reached in another way.
    pub egress: Option<String>,
    /// Name servers, as `ADDRESS` or `ADDRESS:PORT`, that resolve the hosted zones as the internet does; by
    /// default this machine's own.
    #[serde(default)]
    pub name_servers: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// Every region's name once. A region follows when the one before it is healthy.
    pub order: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Addon {
    /// `https://REPOSITORY#NAME`, `oci://REGISTRY/NAME`, or a path.
    pub chart: String,
    /// An exact version, such as `1.2.3`.
    pub version: String,
    /// A file with Helm values.
    pub values: Option<String>,
    /// The namespace; by default the one that the chart's documentation uses.
    pub namespace: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// The AWS region's code, such as `eu-south-2`.
    pub aws_region: String,
    pub role: Role,
    /// The file with the region's Terraform variables.
    pub var_file: String,
    /// The application's host name in this region: below the region's hosted zone, and different in every
    /// region.
    pub domain: String,
}

/// The JSON schema of `paydeploy.toml`.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(File).to_value()
}
