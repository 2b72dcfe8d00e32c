//! What a step can use while it runs.

use std::{collections::BTreeSet, ops::Deref, path::PathBuf, sync::Arc};

use crate::{
    aws::Aws,
    config::Config,
    kubernetes::helm,
    task::{Phase, Task},
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
    /// Resource addresses that Terraform may replace or delete.
    pub allow_replace: Vec<String>,
}

impl World {
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
