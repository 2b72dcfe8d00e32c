//! The step `docker/build`: finds the commit's image in a registry or the local engine, or builds it.

use std::time::Duration;

use super::{
    archive,
    lookup::{Location, Locations, find_image},
    recipe::recipe,
    short, tag,
};
use crate::{
    aws::registry::Registry,
    config::Config,
    container::{self, Engine},
    fact::{self, Built, Commit, ImageSource},
    step::{Check, Class, Context, Error, Phase, Resource, Result, Seen, Step, StepId},
};

/// The arguments of the smoke test of a new image.
const SMOKE_TEST: [&str; 1] = ["--version"];

/// Builds one image for all regions.
pub struct Build {
    aws_regions: Vec<String>,
    /// The image's name in the local engine.
    local: String,
}

/// The step for all regions of a configuration.
pub fn build(config: &Config) -> Build {
    let aws_regions = config.rollout.iter().map(|name| config.regions[name].aws_region.clone()).collect();
    Build { aws_regions, local: config.image.repository.clone() }
}

impl Build {
    async fn locations(
        &self,
        cx: &Context,
        (preflight, foundations): &<Self as Step>::Input,
    ) -> Result<Locations> {
        // The same stack creates the repository in every region, under the same name.
        let repository =
            foundations.first().map_or(&self.local, |foundation| &foundation.ecr_repository_name);
        find_image(&cx.world.aws, &self.aws_regions, repository, tag(&preflight.commit)).await
    }

    /// The commit's image in the local engine. It is tagged only after its smoke test, so an image
    /// that does not start is not found.
    async fn local(&self, commit: &Commit) -> Result<Option<Built>> {
        let tag = tag(commit);
        let image = Engine::from_env().await?.image(&format!("{}:{tag}", self.local)).await?;
        let image = image.filter(|image| image.revision.as_ref() == Some(&commit.id));
        Ok(image.map(|image| Built { tag: tag.to_owned(), at: ImageSource::Engine { id: image.id } }))
    }
}

/// The image in a registry, as the fact for other steps.
async fn in_registry(
    cx: &Context,
    locations: &[Location],
    (preflight, foundations): &<Build as Step>::Input,
) -> Result<Option<Built>> {
    let (Some(location), Some(foundation)) = (locations.first(), foundations.first()) else {
        return Ok(None);
    };
    let registry = Registry::new(&cx.world.aws, &location.aws_region);
    let Some(repository) = registry.url(&foundation.ecr_repository_name).await? else { return Ok(None) };
    let Location { aws_region, digest } = location.clone();
    let tag = tag(&preflight.commit).to_owned();
    Ok(Some(Built { tag, at: ImageSource::Registry { aws_region, repository, digest } }))
}

/// A summary: the digest, and the regions that have it.
fn describe(locations: &[Location]) -> String {
    let regions: Vec<&str> = locations.iter().map(|location| location.aws_region.as_str()).collect();
    let digest = locations.first().map_or("", |location| short(&location.digest));
    format!("{digest} in {}", regions.join(", "))
}

impl Step for Build {
    /// The commit to release, and the foundations of the regions that have one: they contain the registries.
    type Input = (fact::Preflight, Vec<fact::Foundation>);
    type Fact = Built;
    type Change = ();

    fn id(&self) -> StepId {
        StepId::global(Phase::Docker, "build")
    }

    fn resource(&self) -> Resource {
        Resource::Cpu
    }

    fn estimate(&self) -> Duration {
        Duration::from_mins(4)
    }

    async fn read(&self, cx: &Context, input: &Self::Input) -> Result<Seen<Built>> {
        let found = self.locations(cx, input).await?.found;
        if let Some(built) = in_registry(cx, &found, input).await? {
            return Ok(Seen::ok(built, describe(&found)));
        }
        Ok(match self.local(&input.0.commit).await {
            Ok(Some(built)) => Seen::ok(built, "built, not pushed yet"),
            Ok(None) => Seen::missing(format!("no image of commit {}", input.0.commit.short())),
            // Without an engine the image may still be in a registry later: only a build needs one.
            Err(error) => Seen::missing(format!("not in a registry; {error}")),
        })
    }

    async fn check(&self, cx: &Context, input: &Self::Input) -> Result<Check<()>> {
        let Locations { found, unreachable } = self.locations(cx, input).await?;
        if !found.is_empty() {
            return Ok(Check::Clean(describe(&found)));
        }
        let commit = &input.0.commit;
        if let Ok(Some(_)) = self.local(commit).await {
            return Ok(Check::Clean("built, not pushed yet".to_owned()));
        }
        let dockerfile = cx.world.config.image.dockerfile.display();
        let mut lines = vec![format!("build {}:{} from `{dockerfile}`", self.local, commit.short())];
        lines.extend(unreachable.iter().map(|why| format!("region not checked: {why}")));
        Ok(Check::Change { lines, change: () })
    }

    async fn apply(&self, cx: &Context, (preflight, _): &Self::Input, (): ()) -> Result<()> {
        let commit = &preflight.commit;
        let engine = Engine::from_env().await?;
        let time = archive::time(cx, commit).await?;
        let context = archive::archive(cx, commit).await?;
        let image = container::build(cx, &engine, &recipe(&cx.world.config, commit, time), context).await?;
        if let Err(error) = container::smoke(cx, &engine, &image, &SMOKE_TEST).await {
            engine.discard(&image).await;
            return Err(hinted(error));
        }
        engine.name(&image, &self.local, tag(commit)).await
    }

    /// Nothing to delete: the stack that created the repository deletes it with its images.
    async fn destroy(&self, _cx: &Context, _input: Option<&Self::Input>) -> Result<Option<String>> {
        Ok(None)
    }
}

/// Adds a fix to an error that has none.
fn hinted(error: Error) -> Error {
    if error.class != Class::Permanent || error.hint.is_some() {
        return error;
    }
    error.with_hint("change the image's entry point so that it accepts `--version` and exits with 0")
}
