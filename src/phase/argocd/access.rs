//! Argo CD's right to act in a region.

use crate::{
    config::{Config, Region},
    fact,
    step::{Check, Context, Error, Phase, Result, Seen, Step, StepId},
};

/// The application's namespace, and who may act in it.
pub struct Grant {
    region: Region,
}

/// The step that lets Argo CD act in the application's namespace of a region.
pub fn access(_config: &Config, region: &Region) -> Grant {
    Grant { region: region.clone() }
}

impl Step for Grant {
    /// How to reach the region, how to reach the hub, an order.
    type Input = (fact::Access, fact::Access, ());
    type Fact = fact::Granted;
    type Change = ();

    fn id(&self) -> StepId {
        StepId::part(Phase::Argocd, &self.region.name, "access")
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
