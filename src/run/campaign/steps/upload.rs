//! The image, which belongs to no region: its claim is in the journal alone. A registry forgets what is incomplete.

use crate::{
    run::campaign::world::{Hand, Things},
    step::{Check, Claim, Context, Phase, Result, Seen, Step, StepId},
};

pub struct Upload(pub Hand);

impl Upload {
    async fn exists(&self) -> Result<bool> {
        self.0.read("find the image", |things| things.has_image).await
    }
}

impl Step for Upload {
    type Input = ();
    type Fact = ();
    type Change = ();

    fn id(&self) -> StepId {
        StepId::global(Phase::Docker, "build")
    }

    async fn read(&self, _cx: &Context, (): &()) -> Result<Seen<()>> {
        Ok(if self.exists().await? { Seen::ok((), "pushed") } else { Seen::missing("missing") })
    }

    async fn check(&self, _cx: &Context, (): &()) -> Result<Check<()>> {
        Ok(if self.exists().await? {
            Check::Clean("pushed".to_owned())
        } else {
            Check::Change { lines: vec!["+ image".to_owned()], change: () }
        })
    }

    async fn apply(&self, cx: &Context, (): &(), (): ()) -> Result<()> {
        let claim = Claim::Upload { repository: "payments".to_owned(), tag: "1".to_owned() };
        self.0.claim(cx, &claim).await?;
        for is_last in [false, false, true] {
            self.0.upload(cx, &claim, is_last).await?;
        }
        self.0.release(cx, &claim);
        Ok(())
    }

    async fn destroy(&self, _cx: &Context, _input: Option<&()>) -> Result<Option<String>> {
        if !self.exists().await? {
            return Ok(None);
        }
        let delete = |things: &mut Things| things.has_image = false;
        self.0.overwrite("delete the image", delete).await?;
        Ok(Some("deleted".to_owned()))
    }
}
