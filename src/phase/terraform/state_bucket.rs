//! The bucket that holds a region's Terraform state.

use crate::{
    config::Region,
    fact,
    step::{Check, Context, Error, Phase, Result, Seen, Step, StepId},
};

pub struct StateBucket {
    region: Region,
}

impl StateBucket {
    pub(super) fn new(region: &Region) -> Self {
        Self { region: region.clone() }
    }
}

impl Step for StateBucket {
    type Input = fact::Preflight;
    type Fact = fact::StateBucket;
    type Change = ();

    fn id(&self) -> StepId {
        StepId::part(Phase::Terraform, &self.region.name, "state")
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
