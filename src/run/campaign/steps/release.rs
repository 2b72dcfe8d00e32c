//! A Helm release, as `kubernetes::helm` installs, repairs and uninstalls one: its pending revision carries the mark of
//! the claim, and a pending revision with another mark belongs to somebody else.

use crate::{
    run::campaign::world::{Hand, Release, Status},
    step::{Check, Claim, Class, Context, Error, Phase, RegionName, Result, Seen, Step, StepId},
};

const NAMESPACE: &str = "payment-api";

pub struct Install {
    pub hand: Hand,
    pub region: RegionName,
}

impl Install {
    async fn latest(&self) -> Result<Option<Release>> {
        self.hand.read("read the release", |things| things.releases.get(&self.region).cloned()).await
    }

    fn conflict(&self) -> Error {
        Error::msg(Class::Conflict, "another operation is in progress")
    }
}

impl Step for Install {
    type Input = ();
    type Fact = ();
    type Change = ();

    fn id(&self) -> StepId {
        StepId::of(Phase::HelmDeps, &self.region)
    }

    async fn read(&self, _cx: &Context, (): &()) -> Result<Seen<()>> {
        let deployed = self.latest().await?.is_some_and(|release| release.status == Status::Deployed);
        Ok(if deployed { Seen::ok((), "deployed") } else { Seen::missing("not deployed") })
    }

    async fn repair(&self, cx: &Context, _input: Option<&()>, left: &[Claim]) -> Result<()> {
        self.hand.repairs(cx, left);
        for claim in left {
            let Some(release) = self.latest().await? else { break };
            match claim {
                Claim::Release { mark, .. }
                    if release.status == Status::Pending && *mark == Some(release.mark.clone()) =>
                {
                    self.hand.remove_release(cx, &self.region, claim, mark.as_deref()).await?;
                }
                Claim::Uninstall { .. } if release.status == Status::Uninstalling => {
                    self.hand.remove_release(cx, &self.region, claim, None).await?;
                }
                _ => {}
            }
        }
        self.hand.has_repaired(cx, left);
        Ok(())
    }

    async fn check(&self, _cx: &Context, (): &()) -> Result<Check<()>> {
        match self.latest().await? {
            None => Ok(Check::Change { lines: vec!["+ release".to_owned()], change: () }),
            Some(release) if release.status == Status::Deployed => Ok(Check::Clean("deployed".to_owned())),
            Some(_) => Err(self.conflict()),
        }
    }

    async fn apply(&self, cx: &Context, (): &(), (): ()) -> Result<()> {
        let mark = self.hand.world.name("mark");
        let claim = Claim::Release {
            cluster: self.region.to_string(),
            namespace: NAMESPACE.to_owned(),
            release: "addons".to_owned(),
            revision: 1,
            mark: Some(mark.clone()),
        };
        self.hand.claim(cx, &claim).await?;
        if !self.hand.begin_release(cx, &self.region, &claim, &mark).await? {
            self.hand.release(cx, &claim);
            return Err(self.conflict());
        }
        self.hand.finish_release(cx, &self.region, &claim, &mark).await?;
        self.hand.release(cx, &claim);
        Ok(())
    }

    async fn destroy(&self, cx: &Context, _input: Option<&()>) -> Result<Option<String>> {
        match self.latest().await? {
            None => return Ok(None),
            Some(release) if release.status == Status::Deployed => {}
            Some(_) => return Err(self.conflict()),
        }
        let claim = Claim::Uninstall {
            cluster: self.region.to_string(),
            namespace: NAMESPACE.to_owned(),
            release: "addons".to_owned(),
        };
        self.hand.claim(cx, &claim).await?;
        self.hand.begin_removal(cx, &self.region, &claim).await?;
        self.hand.remove_release(cx, &self.region, &claim, None).await?;
        self.hand.release(cx, &claim);
        Ok(Some("uninstalled".to_owned()))
    }
}
