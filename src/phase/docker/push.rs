//! The step `docker/REGION`: pushes or copies the image to the region's own registry.

use std::time::Duration;

use super::{
    lookup::{Location, conflict},
    short,
};
use crate::{
    aws::registry::Registry,
    config::{Config, Region},
    container::{
        self, Engine, Repository,
        distribution::{self, Remote},
        with_login,
    },
    fact::{Built, Foundation, Image, ImageDigest, ImageSource},
    step::{Check, Claim, Context, Error, Phase, Poll, Result, Seen, Step, StepId},
};

/// ECR lists a pushed tag within seconds (eventual consistency). A longer wait means a real failure.
const LISTED_DEADLINE: Duration = Duration::from_mins(1);

/// Brings the image to one region.
pub struct Push {
    region: Region,
}

/// The step that brings the image to a region.
pub fn region(_config: &Config, region: &Region) -> Push {
    Push { region: region.clone() }
}

impl Push {
    fn registry(&self, cx: &Context) -> Registry {
        Registry::new(&cx.world.aws, &self.region.aws_region)
    }

    async fn digest(
        &self,
        cx: &Context,
        built: &Built,
        foundation: &Foundation,
    ) -> Result<Option<ImageDigest>> {
        self.registry(cx).digest(&foundation.ecr_repository_name, &built.tag).await
    }

    fn image_name(built: &Built, foundation: &Foundation) -> String {
        format!("{}:{}", foundation.ecr_repository_name, built.tag)
    }

    fn location(&self, digest: &ImageDigest) -> Location {
        Location { aws_region: self.region.aws_region.clone(), digest: digest.clone() }
    }

    /// Whether the region's image is the one in the local engine. Another run may have pushed a different one, or
    /// an interrupted run of this step the same one.
    async fn is_local(
        &self,
        cx: &Context,
        foundation: &Foundation,
        digest: &ImageDigest,
        id: &str,
    ) -> Result<bool> {
        let repository: Repository = foundation.ecr_repository_url.parse()?;
        let (registry, http) = (self.registry(cx), distribution::http()?);
        let manifest = |login| {
            let remote = Remote::new(http.clone(), &repository, login);
            async move { remote?.manifest(digest).await }
        };
        Ok(with_login(|| registry.login(), manifest).await?.is(id))
    }

    async fn push(&self, cx: &Context, built: &Built, id: &str, target: &Repository) -> Result<ImageDigest> {
        let (engine, registry) = (Engine::from_env().await?, self.registry(cx));
        let push = |login| container::push(cx, &engine, id, target, &built.tag, login);
        with_login(|| registry.login(), push).await
    }

    async fn copy(&self, cx: &Context, tag: &str, source: &Source<'_>, target: &Repository) -> Result<()> {
        let http = distribution::http()?;
        let (source_registry, own_registry) =
            (Registry::new(&cx.world.aws, source.aws_region), self.registry(cx));
        let repository: Repository = source.repository.parse()?;
        let login = || async { tokio::try_join!(source_registry.login(), own_registry.login()) };
        let copy = |(source_login, own_login)| {
            let from = Remote::new(http.clone(), &repository, source_login);
            let to = Remote::new(http.clone(), target, own_login);
            async move { distribution::copy(cx, &from?, &to?, source.digest, tag).await }
        };
        with_login(login, copy).await
    }

    /// Waits until ECR itself lists the pushed digest, because later steps and the nodes read it from there.
    async fn confirm(
        &self,
        cx: &Context,
        (built, foundation): &<Self as Step>::Input,
        pushed: &ImageDigest,
    ) -> Result<()> {
        let what = format!("`{}` to list the image", self.region.aws_region);
        let listed = || async {
            Ok(match self.digest(cx, built, foundation).await? {
                Some(digest) => Poll::Ready(digest),
                None => Poll::Pending(format!("no tag `{}` yet", built.tag)),
            })
        };
        let listed = cx.wait(&what, Duration::from_secs(1), LISTED_DEADLINE, listed).await?;
        if listed == *pushed {
            return Ok(());
        }
        let region = &self.region.aws_region;
        Err(Error::permanent(format!("pushed {pushed} to `{region}`, but ECR lists {listed}")).with_hint(
            "another run pushed the same tag: run the same command again, which compares the two images",
        ))
    }
}

/// An image in another region.
struct Source<'a> {
    aws_region: &'a str,
    repository: &'a str,
    digest: &'a ImageDigest,
}

impl Step for Push {
    type Input = (Built, Foundation);
    type Fact = Image;
    type Change = ();

    fn id(&self) -> StepId {
        StepId::of(Phase::Docker, &self.region.name)
    }

    fn estimate(&self) -> Duration {
        Duration::from_secs(30)
    }

    async fn read(&self, cx: &Context, (built, foundation): &Self::Input) -> Result<Seen<Image>> {
        let Some(digest) = self.digest(cx, built, foundation).await? else {
            return Ok(Seen::missing("not pushed"));
        };
        let detail = short(&digest).to_owned();
        let differs = matches!(&built.at, ImageSource::Registry { digest: wanted, .. } if *wanted != digest);
        let image = Image { repository: foundation.ecr_repository_url.clone(), digest };
        Ok(if differs { Seen::differs(image, detail) } else { Seen::ok(image, detail) })
    }

    async fn check(&self, cx: &Context, (built, foundation): &Self::Input) -> Result<Check<()>> {
        let existing = self.digest(cx, built, foundation).await?;
        let lines = |line: String| Ok(Check::Change { lines: vec![line], change: () });
        match (existing, &built.at) {
            (None, ImageSource::Engine { .. }) => lines(format!("push to {}", foundation.ecr_repository_url)),
            (None, ImageSource::Registry { aws_region, digest, .. }) => {
                lines(format!("copy {} from {aws_region}", short(digest)))
            }
            (Some(existing), ImageSource::Registry { aws_region, digest, .. }) if existing != *digest => {
                let source = Location { aws_region: aws_region.clone(), digest: digest.clone() };
                Err(conflict(&Self::image_name(built, foundation), &source, &self.location(&existing)))
            }
            (Some(existing), ImageSource::Engine { id })
                if !self.is_local(cx, foundation, &existing, id).await? =>
            {
                Err(Error::permanent(format!(
                    "`{}` in `{}` differs from the image built on this machine",
                    Self::image_name(built, foundation),
                    self.region.aws_region
                ))
                .with_hint(
                    "another run has released this commit: run the same command again to use its image",
                ))
            }
            (Some(existing), _) => Ok(Check::Clean(short(&existing).to_owned())),
        }
    }

    async fn apply(&self, cx: &Context, input: &Self::Input, (): ()) -> Result<()> {
        let (built, foundation) = input;
        let target: Repository = foundation.ecr_repository_url.parse()?;
        let claim = Claim::Upload { repository: target.to_string(), tag: built.tag.clone() };
        cx.claim(&claim).await?;
        let pushed = match &built.at {
            ImageSource::Engine { id } => self.push(cx, built, id, &target).await?,
            ImageSource::Registry { aws_region, repository, digest } => {
                self.copy(cx, &built.tag, &Source { aws_region, repository, digest }, &target).await?;
                digest.clone()
            }
        };
        cx.release(&claim);
        self.confirm(cx, input, &pushed).await
    }

    /// Nothing to delete: the stack that created the repository deletes it with its images.
    async fn destroy(&self, _cx: &Context, _input: Option<&Self::Input>) -> Result<Option<String>> {
        Ok(None)
    }
}
