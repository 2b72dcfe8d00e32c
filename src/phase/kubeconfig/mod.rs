//! The phase `kubeconfig`: a region's API server answers, and a file of ours says how to reach it.

use crate::{
    config::{Config, Region},
    fact,
    step::{Check, Context, Error, Phase, Result, Seen, Step, StepId},
};

/// One context in `.paydeploy/kubeconfig`.
pub struct Kubeconfig {
    region: Region,
}

/// The step of a region.
pub fn region(_config: &Config, region: &Region) -> Kubeconfig {
    Kubeconfig { region: region.clone() }
}

impl Step for Kubeconfig {
    type Input = fact::Cluster;
    type Fact = fact::Access;
    type Change = ();

    fn id(&self) -> StepId {
        StepId::of(Phase::Kubeconfig, &self.region.name)
    }

    async fn read(&self, _cx: &Context, _input: &Self::Input) -> Result<Seen<Self::Fact>> {
        Err(Error::permanent("not written yet"))
    }

    async fn check(&self, _cx: &Context, _input: &Self::Input) -> Result<Check<Self::Change>> {
        Err(Error::permanent("not written yet"))
    }

    async fn apply(&self, _cx: &Context, _input: &Self::Input, _change: Self::Change) -> Result<()> {
        Err(Error::permanent("not written yet"))
    }

    async fn destroy(&self, _cx: &Context, _input: Option<&Self::Input>) -> Result<Option<String>> {
        Err(Error::permanent("not written yet"))
    }
}
