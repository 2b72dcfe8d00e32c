//! One stack in one region.

use std::{marker::PhantomData, time::Duration};

use super::kind::Kind;
use crate::{
    config::Region,
    step::{Check, Context, Error, Phase, Resource, Result, Seen, Step, StepId},
};

pub struct Stack<K> {
    region: Region,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Stack<K> {
    pub(super) fn new(region: &Region) -> Self {
        Self { region: region.clone(), kind: PhantomData }
    }
}

impl<K: Kind> Step for Stack<K> {
    type Input = K::Input;
    type Fact = K::Fact;
    type Change = ();

    fn id(&self) -> StepId {
        StepId::part(Phase::Terraform, &self.region.name, K::NAME)
    }

    fn resource(&self) -> Resource {
        Resource::Terraform
    }

    fn estimate(&self) -> Duration {
        K::ESTIMATE
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
