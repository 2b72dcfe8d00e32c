//! The release of a region.

use std::time::Duration;

use crate::{
    config::{Config, Region},
    fact,
    step::{Check, Context, Error, Phase, Result, Seen, Step, StepId},
};

/// How to reach the region and the hub; what a release is made of; an order (the manifests, the add-ons and,
/// for a new release, the region before this one).
pub type Needs = (
    (fact::Access, fact::Access),
    fact::Preflight,
    fact::Registered,
    fact::Foundation,
    (fact::Image, fact::Secrets),
    fact::Database,
    fact::Certificate,
    (),
);

/// The application in a region.
pub struct Release {
    region: Region,
}

/// The step that releases the application in a region.
pub fn release(_config: &Config, region: &Region) -> Release {
    Release { region: region.clone() }
}

impl Step for Release {
    type Input = Needs;
    type Fact = fact::Release;
    type Change = ();

    fn id(&self) -> StepId {
        StepId::of(Phase::Apps, &self.region.name)
    }

    fn estimate(&self) -> Duration {
        Duration::from_secs(120)
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
