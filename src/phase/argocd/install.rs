//! Argo CD on the hub.

use std::time::Duration;

use crate::{
    config::{Config, Region},
    fact,
    step::{Check, Context, Error, Phase, Result, Seen, Step, StepId},
};

/// Argo CD's own release.
pub struct Install {
    hub: Region,
}

/// The step that installs Argo CD on the hub.
pub fn install(config: &Config) -> Install {
    Install { hub: config.hub().clone() }
}

impl Step for Install {
    /// How to reach the hub; an order.
    type Input = (fact::Access, ());
    type Fact = fact::ArgoCd;
    type Change = ();

    fn id(&self) -> StepId {
        StepId::part(Phase::Argocd, &self.hub.name, "install")
    }

    fn estimate(&self) -> Duration {
        Duration::from_secs(90)
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
