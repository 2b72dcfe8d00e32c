//! What a step has at hand while it runs.

use std::{collections::BTreeSet, ops::Deref, path::PathBuf, sync::Arc};

use crate::{
    aws::Aws,
    config::Config,
    kubernetes::helm,
    task::{Phase, Task},
    tool::Tools,
};

/// What all steps of a run share: the configuration, the clients of the outer world, the tools found.
pub struct World {
    pub config: Config,
    pub aws: Aws,
    pub tools: Tools,
    /// `.paydeploy/` beside the configuration.
    pub state: PathBuf,
    /// What the run is for: the preflight asks for no more than these need.
    pub phases: BTreeSet<Phase>,
    /// Addresses whose deletion or replacement the user has allowed.
    pub allow_replace: Vec<String>,
}

impl World {
    /// The helm to run, and where it leaves its files.
    pub fn helm(&self) -> helm::Place<'_> {
        helm::Place { program: &self.tools.helm, state: &self.state, root: &self.config.root }
    }
}

/// A step's task, and the world that it is about.
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
