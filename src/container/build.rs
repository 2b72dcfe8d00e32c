//! A build by BuildKit, followed event by event.

use std::{collections::BTreeMap, fs::File, time::Duration};

use bollard::{
    body_try_stream,
    models::BuildInfoAux,
    query_parameters::{BuildImageOptions, BuildImageOptionsBuilder, BuilderVersion},
};
use futures::StreamExt;

use super::{Engine, bounded, error::classify, log::Log, pieces::pieces, transcript::Transcript};
use crate::task::{Class, Error, ErrorExt, Result, Task};

/// A cold build with all dependencies takes about a quarter of this on a small machine.
const DEADLINE: Duration = Duration::from_hours(1);

/// What an image is built from, apart from its context's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The Dockerfile's path in the context.
    pub dockerfile: String,
    pub args: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    /// The network of `RUN` steps; by default the engine's choice.
    pub network: Option<String>,
    pub platform: String,
}

/// Builds an unnamed image from a context, given as a tar file, and returns its id.
///
/// # Errors
/// When the build fails, with the failed step's last lines; when it takes longer than an hour (transient).
pub async fn build(task: &Task, engine: &Engine, recipe: &Recipe, context: File) -> Result<String> {
    let what = format!("build the image from `{}`", recipe.dockerfile);
    bounded(task, DEADLINE, follow(task, engine, recipe, context)).await.doing(what)
}

async fn follow(task: &Task, engine: &Engine, recipe: &Recipe, context: File) -> Result<String> {
    let mut log = Log::open(task)?;
    let body = body_try_stream(pieces(context).doing("read the build context")?);
    let mut events = engine.docker.build_image(options(recipe), None, Some(body));
    let mut transcript = Transcript::default();
    let (mut image, mut reported) = (None, None);
    task.progress("sending the build context");
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => return Err(explained(&transcript, classify(error))),
        };
        match event.aux {
            Some(BuildInfoAux::BuildKit(status)) => {
                for line in transcript.take(&status) {
                    log.line(&line)?;
                }
                let progress = transcript.progress();
                if let Some((done, total, text)) = progress.clone().filter(|_| progress != reported) {
                    task.count(done, total, text);
                    reported = progress;
                }
            }
            Some(BuildInfoAux::Default(built)) => image = built.id.or(image),
            None => {}
        }
    }
    image.ok_or_else(|| {
        explained(&transcript, Error::permanent("the engine ended the build without an image"))
    })
}

fn options(recipe: &Recipe) -> BuildImageOptions {
    let (args, labels) =
        (recipe.args.clone().into_iter().collect(), recipe.labels.clone().into_iter().collect());
    let options = BuildImageOptionsBuilder::default()
        .version(BuilderVersion::BuilderBuildKit)
        // BuildKit requests pull credentials through a session, which two builds must not share.
        .session(&format!("paydeploy-{}", uuid::Uuid::now_v7().simple()))
        .dockerfile(&recipe.dockerfile)
        .platform(&recipe.platform)
        .buildargs(&args)
        .labels(&labels)
        .rm(true)
        .forcerm(true);
    match &recipe.network {
        Some(network) => options.networkmode(network).build(),
        None => options.build(),
    }
}

/// A failed build's error, with the message of the step that failed, if any.
fn explained(transcript: &Transcript, error: Error) -> Error {
    let Some(failed) = transcript.failed_step() else { return error };
    let how = format!("`{}` failed: {}", failed.name, failed.error);
    let class = Class::classify_message(&failed.error);
    if failed.tail.is_empty() {
        return Error::msg(class, how);
    }
    Error::new(class, anyhow::anyhow!(failed.tail.join("\n")).context(how))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bollard::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog};

    use super::{Recipe, Transcript, explained, options};
    use crate::task::{Class, Error};

    #[test]
    fn the_recipe_is_passed_on_to_the_engine() {
        let recipe = Recipe {
            dockerfile: "service/Dockerfile".to_owned(),
            args: BTreeMap::from([("SOURCE_DATE_EPOCH".to_owned(), "7".to_owned())]),
            labels: BTreeMap::new(),
            network: Some("host".to_owned()),
            platform: "linux/amd64".to_owned(),
        };
        let requested = options(&recipe);
        assert_eq!(requested.dockerfile, "service/Dockerfile");
        assert_eq!(requested.buildargs.unwrap()["SOURCE_DATE_EPOCH"], "7");
        assert_eq!(requested.networkmode.as_deref(), Some("host"));
        assert_ne!(requested.session, options(&recipe).session, "concurrent builds have separate sessions");
    }

    #[test]
    fn a_failed_build_is_reported_with_the_failed_steps_message() {
        let vertex = Vertex {
            digest: "a".to_owned(),
            name: "[2/3] RUN make".to_owned(),
            error: "exit code: 2".to_owned(),
            ..Vertex::default()
        };
        let log =
            VertexLog { vertex: "a".to_owned(), msg: b"cc: no input\n".to_vec(), ..VertexLog::default() };
        let mut transcript = Transcript::default();
        assert_eq!(explained(&transcript, Error::transient("reset")).to_string(), "reset");
        transcript.take(&StatusResponse {
            vertexes: vec![vertex],
            logs: vec![log],
            ..StatusResponse::default()
        });
        let error = explained(&transcript, Error::transient("executor failed"));
        assert_eq!(error.chain(), ["`[2/3] RUN make` failed: exit code: 2", "cc: no input"]);
        assert_eq!(error.class, Class::Permanent);
    }
}
