//! The look at the world that comes before all phases.

use crate::{
    config::Config,
    fact,
    step::{Check, Context, Error, Phase, Result, Seen, Step, StepId},
};

/// Who runs this, and what is released.
pub struct Preflight;

pub fn look(_config: &Config) -> Preflight {
    Preflight
}

impl Step for Preflight {
    type Input = ();
    type Fact = fact::Preflight;
    type Change = ();

    fn id(&self) -> StepId {
        StepId::global(Phase::Preflight, "account")
    }

    async fn read(&self, _cx: &Context, _input: &Self::Input) -> Result<Seen<Self::Fact>> {
        Err(Error::permanent("not written yet"))
    }

    async fn check(&self, _cx: &Context, _input: &Self::Input) -> Result<Check<Self::Change>> {
        Err(Error::permanent("not written yet"))
    }

    async fn apply(&self, _cx: &Context, _input: &Self::Input, _change: Self::Change) -> Result<()> {
        Ok(())
    }

    async fn destroy(&self, _cx: &Context, _input: Option<&Self::Input>) -> Result<Option<String>> {
        Ok(None)
    }
}
