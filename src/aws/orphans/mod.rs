//! Finds what exists in AWS and is in no Terraform state: by the name or the tags that a plan would give it.
//!
//! A [`Query`] names one resource. [`Finder::find`] returns every resource that fits it, with what proves whose it is: its
//! tags and, where AWS tells, when it was created. What AWS is deleting does not count as existing.

mod ec2;
mod eks;
mod named;
mod rds;

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::sync::OnceCell;

pub use self::ec2::close;
use super::{classify, is_missing, partition};
use crate::task::Result;

/// A resource that a plan would create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// Of EC2, by the start of its id and its tag `Name`.
    Tagged {
        prefix: &'static str,
        name: String,
    },
    /// A rule of a security group, by its tag `Name`.
    Rule {
        egress: bool,
        name: String,
    },
    LaunchTemplate {
        prefix: String,
    },
    Route {
        table: String,
        destination: String,
    },
    Association {
        subnet: String,
        table: String,
    },
    Cluster(String),
    NodeGroup {
        cluster: String,
        name: String,
    },
    Addon {
        cluster: String,
        name: String,
    },
    AccessEntry {
        cluster: String,
        principal: String,
    },
    Database(String),
    SubnetGroup(String),
    ParameterGroup {
        prefix: String,
    },
    Proxy(String),
    ProxyTarget {
        proxy: String,
        group: String,
        database: String,
    },
    Repository(String),
    Bucket(String),
    Secret {
        prefix: String,
    },
    LogGroup(String),
    Role(String),
    OidcProvider {
        url: String,
    },
    /// A KMS key, by its tag `Name`.
    Key {
        name: String,
    },
    Alias(String),
    Certificate {
        domain: String,
    },
    Trail(String),
}

/// An existing resource that fits a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidate {
    /// By which Terraform imports it.
    pub id: String,
    /// The id in a state, where it is another one.
    pub arn: Option<String>,
    /// In seconds since 1970; `None` where AWS does not tell.
    pub created: Option<i64>,
    /// `None` where it has none by which to tell: a relation between two resources that the query names by their ids, or
    /// a bucket that is not tagged yet, or an access entry, of which EKS has one per principal.
    pub tags: Option<BTreeMap<String, String>>,
    pub standing: Standing,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Standing {
    #[default]
    Ready,
    /// AWS is still creating it: in which status.
    Pending(String),
    /// Its creation has failed: with which status.
    Failed(String),
}

/// Looks in one region of one account.
pub struct Finder<'a> {
    pub aws: SdkConfig,
    pub aws_region: &'a str,
    pub account: &'a str,
    /// The values of the tags of everything that one stack creates, with their keys.
    pub owner: [(&'static str, &'a str); 3],
    /// The tags of everything of EC2 with the stack's tag, by id: read once, because a plan asks for dozens of them.
    pub tagged: OnceCell<BTreeMap<String, BTreeMap<String, String>>>,
}

impl Finder<'_> {
    /// Everything that fits a query.
    pub async fn find(&self, query: &Query) -> Result<Vec<Candidate>> {
        match query {
            Query::Tagged { prefix, name } => self.tagged(prefix, name).await,
            Query::Rule { egress, name } => self.rules(*egress, name).await,
            Query::LaunchTemplate { prefix } => self.launch_templates(prefix).await,
            Query::Route { table, destination } => self.route(table, destination).await,
            Query::Association { subnet, table } => self.association(subnet, table).await,
            Query::Cluster(name) => self.cluster(name).await,
            Query::NodeGroup { cluster, name } => self.node_group(cluster, name).await,
            Query::Addon { cluster, name } => self.addon(cluster, name).await,
            Query::AccessEntry { cluster, principal } => self.access_entry(cluster, principal).await,
            Query::Database(name) => self.database(name).await,
            Query::SubnetGroup(name) => self.subnet_group(name).await,
            Query::ParameterGroup { prefix } => self.parameter_groups(prefix).await,
            Query::Proxy(name) => self.proxy(name).await,
            Query::ProxyTarget { proxy, group, database } => self.proxy_target(proxy, group, database).await,
            Query::Repository(name) => self.repository(name).await,
            Query::Bucket(name) => self.bucket(name).await,
            Query::Secret { prefix } => self.secrets(prefix).await,
            Query::LogGroup(name) => self.log_group(name).await,
            Query::Role(name) => self.role(name).await,
            Query::OidcProvider { url } => self.oidc_provider(url).await,
            Query::Key { name } => self.keys(name).await,
            Query::Alias(name) => self.alias(name).await,
            Query::Certificate { domain } => self.certificates(domain).await,
            Query::Trail(name) => self.trail(name).await,
        }
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        let Self { aws_region, account, .. } = self;
        format!("arn:{}:{service}:{aws_region}:{account}:{resource}", partition(aws_region))
    }
}

/// What a call returned; `None` if the resource does not exist.
fn known<T, E>(result: std::result::Result<T, SdkError<E, HttpResponse>>) -> Result<Option<T>>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(classify(error)),
    }
}

/// What a call returned; `None` also if we may not make it: what excludes us is another team's.
fn allowed<T, E>(result: std::result::Result<T, SdkError<E, HttpResponse>>) -> Result<Option<T>>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let code = result.as_ref().err().and_then(|error| error.as_service_error()?.code());
    if code.is_some_and(|code| code.contains("AccessDenied")) { Ok(None) } else { known(result) }
}

fn tags<'a>(pairs: impl IntoIterator<Item = (Option<&'a str>, Option<&'a str>)>) -> BTreeMap<String, String> {
    pairs.into_iter().filter_map(|(key, value)| Some((key?.to_owned(), value?.to_owned()))).collect()
}

fn standing(status: Option<&str>, ready: &[&str], failed: &[&str]) -> Standing {
    match status {
        Some(status) if failed.contains(&status) => Standing::Failed(status.to_owned()),
        Some(status) if !ready.contains(&status) => Standing::Pending(status.to_owned()),
        _ => Standing::Ready,
    }
}
