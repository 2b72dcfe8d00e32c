//! The four stacks: the inputs, outputs and duration of each.

use std::{fmt, time::Duration};

use aws_config::SdkConfig;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::{
    aws::{
        backups, cluster,
        sweep::{self, Scope},
    },
    config::stack,
    fact,
    step::Result,
};

/// A kind of stack: what the graph needs to know about it.
pub trait Kind: Send + Sync + 'static {
    /// The name of its folder below the configuration's `terraform.stacks`, and of its state.
    const NAME: &'static str;
    /// The duration of creating all of it on AWS.
    const ESTIMATE: Duration;
    /// Whether the stack creates the region's data key, which may have to outlive it (`data_key.rs`).
    const HAS_DATA_KEY: bool = false;
    type Input: Clone + Send + Sync + 'static;
    /// Read from the outputs in its state.
    type Fact: DeserializeOwned + Clone + fmt::Debug + Send + Sync + 'static;

    /// The variables that come from other steps. Without input (a teardown whose facts are lost), placeholders that
    /// pass the stack's validation.
    fn variables(input: Option<&Self::Input>, account: &str) -> Map<String, Value>;

    /// In production: variables without which a run would change what exists although its configuration is the same.
    fn unchanged(
        _aws: &SdkConfig,
        _cluster: &str,
    ) -> impl Future<Output = Result<Map<String, Value>>> + Send {
        async { Ok(Map::new()) }
    }

    /// Deletes what would stop the creation of the stack's resources.
    fn before_apply(_scope: Scope<'_>) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Deletes what no stack manages and would stop the deletion of the stack's resources. Returns what it deleted.
    fn before_destroy(_scope: Scope<'_>) -> impl Future<Output = Result<Vec<String>>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Deletes what no stack manages and remains without the stack's resources. Returns what it deleted.
    fn after_destroy(_scope: Scope<'_>) -> impl Future<Output = Result<Vec<String>>> + Send {
        async { Ok(Vec::new()) }
    }
}

pub struct Foundation;
pub struct Cluster;
pub struct Database;
pub struct Audit;

impl Kind for Foundation {
    const NAME: &'static str = stack::FOUNDATION;
    const ESTIMATE: Duration = Duration::from_mins(3);
    const HAS_DATA_KEY: bool = true;
    type Input = (fact::StateBucket, fact::Preflight);
    type Fact = fact::Foundation;

    fn variables(_input: Option<&Self::Input>, _account: &str) -> Map<String, Value> {
        Map::new()
    }

    async fn before_destroy(scope: Scope<'_>) -> Result<Vec<String>> {
        sweep::network(scope).await
    }

    async fn after_destroy(scope: Scope<'_>) -> Result<Vec<String>> {
        backups::keep(scope).await?;
        // Again, because EKS may write the last events minutes after the cluster's deletion.
        sweep::cluster(scope).await
    }
}

/// The facts that the stack `cluster` takes from other steps.
#[derive(Debug, Clone)]
pub struct ClusterInput {
    pub foundation: fact::Foundation,
    /// The hub's foundation; `None` where the region is the hub.
    pub hub_foundation: Option<fact::Foundation>,
    pub preflight: fact::Preflight,
}

impl Kind for Cluster {
    const NAME: &'static str = stack::CLUSTER;
    const ESTIMATE: Duration = Duration::from_mins(13);
    type Input = ClusterInput;
    type Fact = fact::Cluster;

    fn variables(input: Option<&Self::Input>, account: &str) -> Map<String, Value> {
        let hub = input.and_then(|input| input.hub_foundation.as_ref());
        let cidrs: Vec<String> =
            hub.map_or(&[][..], |hub| &hub.nat_public_ips).iter().map(|ip| format!("{ip}/32")).collect();
        let deployer = input.map_or_else(
            || format!("arn:aws:iam::{account}:role/placeholder"),
            |input| input.preflight.deployer_arn.clone(),
        );
        [("hub_nat_cidrs".to_owned(), cidrs.into()), ("deployer_arn".to_owned(), deployer.into())]
            .into_iter()
            .collect()
    }

    /// A newer image of the nodes would replace all of them, in all regions side by side.
    async fn unchanged(aws: &SdkConfig, cluster: &str) -> Result<Map<String, Value>> {
        let releases = cluster::node_releases(aws, cluster).await?;
        Ok([("running_node_releases".to_owned(), json!(releases))].into_iter().collect())
    }

    async fn before_apply(scope: Scope<'_>) -> Result<()> {
        if let Some(name) = sweep::log_group(scope.aws, scope.aws_region, scope.cluster).await? {
            scope.task.progress(format!("deleted log group {name}, which outlived an earlier cluster"));
        }
        Ok(())
    }

    async fn after_destroy(scope: Scope<'_>) -> Result<Vec<String>> {
        sweep::cluster(scope).await
    }
}

impl Kind for Database {
    const NAME: &'static str = stack::DATABASE;
    const ESTIMATE: Duration = Duration::from_mins(15);
    type Input = fact::Foundation;
    type Fact = fact::Database;

    fn variables(_input: Option<&Self::Input>, _account: &str) -> Map<String, Value> {
        Map::new()
    }
}

impl Kind for Audit {
    const NAME: &'static str = stack::AUDIT;
    const ESTIMATE: Duration = Duration::from_mins(1);
    type Input = fact::Foundation;
    type Fact = fact::Audit;

    fn variables(_input: Option<&Self::Input>, _account: &str) -> Map<String, Value> {
        Map::new()
    }
}
