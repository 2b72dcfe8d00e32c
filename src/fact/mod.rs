//! Facts: the typed values that steps pass to each other. They do no I/O and contain no secrets.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A region's state bucket exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateBucket {
    pub name: String,
}

/// What the preflight determines before the first change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preflight {
    /// The ARN of the IAM principal that runs paydeploy, without a session name. It gets an access entry in
    /// every cluster.
    pub deployer_arn: String,
    /// The commit to release: the one that is checked out in the work tree.
    pub commit: Commit,
}

/// A commit of the application's repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// 40 hexadecimal digits.
    pub id: String,
}

impl Commit {
    /// Stands for the commit where none is released.
    pub fn unknown() -> Self {
        Self { id: "unknown".to_owned() }
    }

    /// The first 7 digits, as Git abbreviates commits.
    pub fn short(&self) -> &str {
        self.id.get(..7).unwrap_or(&self.id)
    }
}

/// Outputs of the `foundation` stack.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(Default))]
pub struct Foundation {
    pub vpc_id: String,
    pub nat_public_ips: Vec<String>,
    pub ecr_repository_name: String,
    pub ecr_repository_url: String,
    pub api_secret_arn: String,
    pub db_app_secret_arn: String,
    pub db_migrator_secret_arn: String,
    pub certificate_arn: String,
    pub hosted_zone_id: String,
    pub hosted_zone_name: String,
    pub app_domain: String,
}

/// Outputs of the `cluster` stack.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Cluster {
    pub cluster_name: String,
    pub cluster_endpoint: String,
    /// PEM in base64, as EKS returns it.
    pub cluster_ca: String,
    pub external_secrets_role_arn: String,
    pub external_dns_role_arn: String,
    pub lb_controller_role_arn: String,
    /// Empty on a spoke.
    pub argocd_role_arn: String,
}

/// Outputs of the `database` stack.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Database {
    pub db_instance_id: String,
    pub db_endpoint: String,
    pub db_port: u16,
    pub db_name: String,
    /// The proxy's host name.
    pub db_connection_endpoint: String,
    pub master_secret_arn: String,
}

/// Outputs of the `audit` stack. No other step depends on them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Audit {
    pub trail_arn: String,
}

/// The region's certificate has been issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub arn: String,
}

/// How to reach the region's cluster. Its API server has responded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub cluster: Cluster,
    pub aws_region: String,
}

/// `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageDigest(pub String);

impl fmt::Display for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The commit's image: built on this machine, or found in a region's registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    pub tag: String,
    /// Where the image is.
    pub at: ImageSource,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// `repository@digest` in the registry of that AWS region.
    Registry { aws_region: String, repository: String, digest: ImageDigest },
    /// An image id in the local container engine.
    Engine { id: String },
}

/// The image in a region's registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Registry host and repository, without tag or digest.
    pub repository: String,
    pub digest: ImageDigest,
}

/// An add-on is installed and ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addon {
    pub release: String,
    pub version: String,
}

/// The region's secrets have values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    pub api: String,
    pub db_app: String,
    pub db_migrator: String,
}

/// Argo CD runs on the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgoCd {
    pub version: String,
    pub namespace: String,
}

/// Argo CD has access to the region's cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    pub namespace: String,
}

/// The region's cluster is registered with Argo CD, which has listed objects in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The cluster Secret's name in Argo CD's namespace.
    pub secret: String,
}

/// The release that a region runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    pub commit: String,
    pub digest: ImageDigest,
    pub url: String,
    pub ready_pods: u32,
    pub pods: u32,
}
