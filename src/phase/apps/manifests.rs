//! The AppProject and the ApplicationSet on the hub.

use crate::{
    config::Config,
    fact,
    step::{Check, Context, Error, Phase, Result, Seen, Step, StepId},
};

/// What Git says about the application, on the hub.
pub struct Manifests;

/// The step that applies `gitops.manifests` to the hub.
pub fn manifests(_config: &Config) -> Manifests {
    Manifests
}

impl Step for Manifests {
    /// How to reach the hub.
    type Input = (fact::Access, fact::ArgoCd);
    type Fact = ();
    type Change = ();

    fn id(&self) -> StepId {
        StepId::global(Phase::Apps, "manifests")
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
