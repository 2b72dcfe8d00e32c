//! The step `docker/build`: find the commit's image, or build it.

use std::time::Duration;

use super::{
    archive::archive,
    lookup::{Place, Places, everywhere},
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

/// The arguments with which a new image is tried.
const TRIAL: [&str; 1] = ["--version"];

/// One image for all regions.
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
    async fn places(&self, cx: &Context, (preflight, foundations): &<Self as Step>::Input) -> Result<Places> {
        // The same stack creates the repository in every region, under the same name.
        let repository =
            foundations.first().map_or(&self.local, |foundation| &foundation.ecr_repository_name);
        everywhere(&cx.world.aws, &self.aws_regions, repository, tag(&preflight.commit)).await
    }

    /// The commit's image in the local engine. It is tagged there only after its trial, so a broken one is not found.
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
    places: &[Place],
    (preflight, foundations): &<Build as Step>::Input,
) -> Result<Option<Built>> {
    let (Some(place), Some(foundation)) = (places.first(), foundations.first()) else { return Ok(None) };
    let registry = Registry::new(&cx.world.aws, &place.aws_region);
    let Some(repository) = registry.url(&foundation.ecr_repository_name).await? else { return Ok(None) };
    let Place { aws_region, digest } = place.clone();
    let tag = tag(&preflight.commit).to_owned();
    Ok(Some(Built { tag, at: ImageSource::Registry { aws_region, repository, digest } }))
}

fn whereabouts(places: &[Place]) -> String {
    let regions: Vec<&str> = places.iter().map(|place| place.aws_region.as_str()).collect();
    let digest = places.first().map_or("", |place| short(&place.digest));
    format!("{digest} in {}", regions.join(", "))
}

impl Step for Build {
    /// What is released, and the foundations (with their registries) of the regions that have one.
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
        let found = self.places(cx, input).await?.found;
        if let Some(built) = in_registry(cx, &found, input).await? {
            return Ok(Seen::ok(built, whereabouts(&found)));
        }
        Ok(match self.local(&input.0.commit).await {
            Ok(Some(built)) => Seen::ok(built, "built, not pushed yet"),
            Ok(None) => Seen::missing(format!("no image of {}", input.0.commit.short())),
            // Without an engine the image may still be in a registry later: only a build needs one.
            Err(error) => Seen::missing(format!("in no registry; {error}")),
        })
    }

    async fn check(&self, cx: &Context, input: &Self::Input) -> Result<Check<()>> {
        let Places { found, silent } = self.places(cx, input).await?;
        if !found.is_empty() {
            return Ok(Check::Clean(whereabouts(&found)));
        }
        let commit = &input.0.commit;
        if let Ok(Some(_)) = self.local(commit).await {
            return Ok(Check::Clean("built, not pushed yet".to_owned()));
        }
        let dockerfile = cx.world.config.image.dockerfile.display();
        let mut lines = vec![format!("build {}:{} from `{dockerfile}`", self.local, commit.short())];
        lines.extend(silent.iter().map(|why| format!("without an answer from {why}")));
        Ok(Check::Change { lines, change: () })
    }

    async fn apply(&self, cx: &Context, (preflight, _): &Self::Input, (): ()) -> Result<()> {
        let commit = &preflight.commit;
        let engine = Engine::from_env().await?;
        let context = archive(cx, commit).await?;
        let image = container::build(cx, &engine, &recipe(&cx.world.config, commit), context).await?;
        if let Err(error) = container::smoke(cx, &engine, &image, &TRIAL).await {
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

fn hinted(error: Error) -> Error {
    if error.class != Class::Permanent || error.hint.is_some() {
        return error;
    }
    error.with_hint("make the image's entry point accept `--version` and exit with 0")
}
