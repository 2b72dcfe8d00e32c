//! What a step can use while it runs.

use std::{collections::BTreeSet, ops::Deref, path::PathBuf, sync::Arc};

use crate::{
    aws::{Aws, objects::Objects},
    config::{Config, Profile},
    fact,
    kubernetes::{self, helm},
    task::{Phase, RegionName, Result, Task},
    tool::Tools,
};

/// What all steps of a run share: configuration, AWS, tools.
pub struct World {
    pub config: Config,
    pub aws: Aws,
    pub tools: Tools,
    /// `.paydeploy/` beside the configuration.
    pub state: PathBuf,
    /// What the run is for: preflight checks only what these phases need.
    pub phases: BTreeSet<Phase>,
    /// The regions that the run is limited to. The configuration also has the hub.
    pub chosen: Vec<RegionName>,
    /// Resource addresses that Terraform may replace or delete.
    pub allow_replace: Vec<String>,
    /// Whether the run may be older than what is deployed.
    pub allow_downgrade: bool,
    /// What the operator allows a teardown; `None` in any other run.
    pub teardown: Option<Teardown>,
    /// The clusters whose API servers a teardown has asked.
    pub reached: kubernetes::Reached,
}

/// What the operator allows a teardown.
#[derive(Debug, Clone, Default)]
pub struct Teardown {
    /// Kinds of protected resources, or addresses of single ones, that may be deleted.
    pub allow_delete: Vec<String>,
    /// Whether finalizers are removed from objects whose controllers do not remove them.
    pub force: bool,
}

impl World {
    /// Whether a teardown may delete resources of a protected kind that no stack manages.
    pub fn may_delete(&self, kind: &str) -> bool {
        let allowed = |teardown: &Teardown| teardown.allow_delete.iter().any(|name| name == kind);
        self.config.profile == Profile::Staging || self.teardown.as_ref().is_some_and(allowed)
    }

    /// A region's state bucket, for leases and records: it answers also when the run may no longer act. `None` if the
    /// region is not configured.
    pub fn records(&self, region: &RegionName) -> Option<Objects> {
        let region = self.config.regions.get(region)?;
        let aws = self.aws.unfenced_in_region(&region.aws_region);
        Some(Objects::new(&aws, &self.config.state_bucket(region)))
    }

    /// Whether `down` was called with `--force`.
    pub fn is_forced(&self) -> bool {
        self.teardown.as_ref().is_some_and(|teardown| teardown.force)
    }

    /// The helm program, the folders that it works in, and the account that signs its tokens.
    pub fn helm(&self) -> helm::Runner<'_> {
        let Self { aws, tools, state, config, .. } = self;
        helm::Runner { aws, program: &tools.helm, state, root: &config.root }
    }
}

/// A step's task and the shared world.
#[derive(Clone)]
pub struct Context {
    pub task: Task,
    pub world: Arc<World>,
}

impl Deref for Context {
    type Target = Task;

    fn deref(&self) -> &Task {
        &self.task
    }
}

impl Context {
    /// The cluster of a name, for a teardown: whether its API can be used.
    pub async fn reach(&self, aws_region: &str, cluster: &str) -> Result<kubernetes::Reach> {
        self.world.reached.cluster(&self.task, &self.world.aws, aws_region, cluster).await
    }

    /// The cluster in which a step repairs what a dead run left; `None` where nothing can be repaired. A teardown does
    /// not rely on facts about the cluster (`known`), and goes on without one that cannot be used.
    pub async fn open(
        &self,
        known: Option<&fact::Access>,
        aws_region: &str,
        cluster: &str,
    ) -> Result<Option<kubernetes::Open>> {
        match known {
            Some(access) if self.world.teardown.is_none() => {
                let client = kubernetes::connect(&self.world.aws, access).await?;
                Ok(Some(kubernetes::Open { access: access.clone(), client }))
            }
            _ => Ok(self.reach(aws_region, cluster).await?.open()),
        }
    }
}
