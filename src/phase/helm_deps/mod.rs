//! The phase `helm-deps`: the add-ons of a region, by Helm.

use std::time::Duration;

use crate::{
    config::{self, Config, Region},
    fact,
    step::{Check, Context, Error, Phase, Result, Seen, Step, StepId},
};

/// The add-on whose webhook the others need: it comes first and goes last.
pub const FIRST: &str = "aws-load-balancer-controller";
/// The add-on that belongs to the phase `argocd`.
pub const ARGO_CD: &str = "argo-cd";

/// One add-on in one region.
pub struct Addon {
    region: Region,
    name: String,
    _addon: config::Addon,
}

/// The step of an add-on named in `[addons.NAME]`.
///
/// # Panics
/// When the configuration has no add-on of that name.
pub fn addon(config: &Config, region: &Region, name: &str) -> Addon {
    Addon { region: region.clone(), name: name.to_owned(), _addon: config.addons[name].clone() }
}

impl Step for Addon {
    /// How to reach the region; its network; an order.
    type Input = (fact::Access, fact::Foundation, ());
    type Fact = fact::Addon;
    type Change = ();

    fn id(&self) -> StepId {
        StepId::part(Phase::HelmDeps, &self.region.name, self.name.clone())
    }

    fn estimate(&self) -> Duration {
        Duration::from_secs(60)
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
