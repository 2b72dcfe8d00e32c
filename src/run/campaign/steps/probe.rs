//! A region's registration, which is tested with a temporary object, as `phase::argocd::probe` does.

use std::time::Duration;

use crate::{
    run::campaign::world::{Hand, Things},
    step::{Check, Claim, Context, Phase, Poll, RegionName, Result, Seen, Step, StepId},
};

/// How long the object has to exist until it was compared.
const COMPARED: Duration = Duration::from_secs(2);

pub struct Register {
    pub hand: Hand,
    pub region: RegionName,
}

impl Register {
    async fn is_registered(&self) -> Result<bool> {
        self.hand.read("read the registration", |things| things.registered.contains(&self.region)).await
    }

    async fn probe(&self, cx: &Context) -> Result<()> {
        let (hand, name) = (&self.hand, format!("probe-{}", self.region));
        hand.delete_probe(cx, None, &name).await?;
        let claim = Claim::Probe { application: name.clone() };
        hand.claim(cx, &claim).await?;
        let listed = cx
            .wait("the probe", Duration::from_secs(1), Duration::from_mins(4), || async {
                let Some(born) =
                    hand.read("read the probe", |things| things.probes.get(&name).copied()).await?
                else {
                    hand.create_probe(cx, &claim, &name).await?;
                    return Ok(Poll::Pending("created".to_owned()));
                };
                let is_compared = hand.world.now() >= born + COMPARED;
                Ok(if is_compared { Poll::Ready(()) } else { Poll::Pending("not compared".to_owned()) })
            })
            .await;
        let removed = hand.delete_probe(cx, Some(&claim), &name).await;
        if removed.is_ok() {
            hand.release(cx, &claim);
        }
        listed?;
        removed
    }
}

impl Step for Register {
    type Input = ();
    type Fact = ();
    type Change = ();

    fn id(&self) -> StepId {
        StepId::of(Phase::Argocd, &self.region)
    }

    async fn read(&self, _cx: &Context, (): &()) -> Result<Seen<()>> {
        Ok(if self.is_registered().await? { Seen::ok((), "registered") } else { Seen::missing("missing") })
    }

    async fn repair(&self, cx: &Context, _input: Option<&()>, left: &[Claim]) -> Result<()> {
        self.hand.repairs(cx, left);
        for claim in left {
            if let Claim::Probe { application } = claim {
                self.hand.delete_probe(cx, Some(claim), application).await?;
            }
        }
        self.hand.has_repaired(cx, left);
        Ok(())
    }

    async fn check(&self, _cx: &Context, (): &()) -> Result<Check<()>> {
        Ok(if self.is_registered().await? {
            Check::Clean("registered".to_owned())
        } else {
            Check::Change { lines: vec!["+ registration".to_owned()], change: () }
        })
    }

    async fn apply(&self, cx: &Context, (): &(), (): ()) -> Result<()> {
        self.probe(cx).await?;
        let register = |things: &mut Things| things.registered.extend([self.region.clone()]);
        self.hand.overwrite("register the region", register).await
    }

    async fn destroy(&self, _cx: &Context, _input: Option<&()>) -> Result<Option<String>> {
        if !self.is_registered().await? {
            return Ok(None);
        }
        let unregister = |things: &mut Things| things.registered.retain(|region| *region != self.region);
        self.hand.overwrite("unregister the region", unregister).await?;
        Ok(Some("unregistered".to_owned()))
    }
}
