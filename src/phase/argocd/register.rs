//! A region's cluster, known to Argo CD.

use crate::{
    config::{Config, Region},
    fact,
    step::{Check, Context, Error, Phase, Result, Seen, Step, StepId},
};

/// The cluster Secret of a region.
pub struct Register {
    region: Region,
}

/// The step that makes a region's cluster known to Argo CD.
pub fn register(_config: &Config, region: &Region) -> Register {
    Register { region: region.clone() }
}

impl Step for Register {
    /// How to reach the region, how to reach the hub.
    type Input = (fact::Access, fact::Access, fact::Granted, fact::ArgoCd);
    type Fact = fact::Registered;
    type Change = ();

    fn id(&self) -> StepId {
        StepId::part(Phase::Argocd, &self.region.name, "register")
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
