//! A first start of an image, so that one that cannot even start never reaches a registry.

use std::time::Duration;

use bollard::{
    container::LogOutput,
    errors::Error as EngineError,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{
        CreateContainerOptions, LogsOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
        WaitContainerOptions,
    },
};
use futures::StreamExt;

use super::{Engine, bounded, error::classify, log::Log};
use crate::step::{Class, Context, Error, ErrorExt, Result};

const DEADLINE: Duration = Duration::from_secs(60);
/// How long its removal may take.
const REMOVAL: Duration = Duration::from_secs(20);
const TAIL: &str = "12";

/// Starts an image with `args`, as a pod would have it: no network, nothing to write to, no privileges.
///
/// # Errors
/// When it does not end by itself with exit code 0, with its last lines.
pub async fn smoke(cx: &Context, engine: &Engine, image: &str, args: &[&str]) -> Result<()> {
    let what = format!("start the image with `{}`", args.join(" "));
    cx.progress("starts the image once");
    let container = Container::create(engine, image, args).await.doing(what.clone())?;
    let ended = bounded(cx, &what, DEADLINE, container.run()).await;
    let ended = match ended {
        Ok(0) => Ok(()),
        Ok(code) => Err(Error::permanent(format!("it ended with exit code {code}"))),
        Err(error) => Err(error),
    };
    let tail = container.tail().await;
    let mut log = Log::open(cx)?;
    for line in &tail {
        log.line(&format!("{}: {line}", args.join(" ")))?;
    }
    container.remove().await;
    match ended {
        Err(error) if error.class != Class::Cancelled && !tail.is_empty() => {
            let Error { class, source, hint } = error;
            let source = anyhow::anyhow!(tail.join("\n")).context(source.to_string());
            Err(Error { class, source, hint }).doing(what)
        }
        ended => ended.doing(what),
    }
}

/// A container of ours, which goes when this goes.
struct Container {
    engine: Engine,
    id: Option<String>,
}

impl Container {
    async fn create(engine: &Engine, image: &str, args: &[&str]) -> Result<Self> {
        let words = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        let host = HostConfig {
            network_mode: Some("none".to_owned()),
            readonly_rootfs: Some(true),
            cap_drop: words(&["ALL"]),
            security_opt: words(&["no-new-privileges"]),
            ..HostConfig::default()
        };
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            cmd: words(args),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        let created = engine.docker.create_container(None::<CreateContainerOptions>, body).await;
        Ok(Self { engine: engine.clone(), id: Some(created.map_err(classify)?.id) })
    }

    fn id(&self) -> &str {
        self.id.as_deref().expect("only its removal takes the id")
    }

    async fn run(&self) -> Result<i64> {
        let docker = &self.engine.docker;
        docker.start_container(self.id(), None::<StartContainerOptions>).await.map_err(classify)?;
        match docker.wait_container(self.id(), None::<WaitContainerOptions>).next().await {
            Some(Ok(ended)) => Ok(ended.status_code),
            Some(Err(EngineError::DockerContainerWaitError { code, error })) if error.is_empty() => Ok(code),
            Some(Err(error)) => Err(classify(error)),
            None => Err(Error::transient("the engine did not say how the container ended")),
        }
    }

    /// Its last lines, as far as the engine keeps any.
    async fn tail(&self) -> Vec<String> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(TAIL).build();
        let logs = self.engine.docker.logs(self.id(), Some(options));
        let pieces = logs.filter_map(|piece| std::future::ready(piece.ok().map(LogOutput::into_bytes)));
        let pieces: Vec<_> = tokio::time::timeout(REMOVAL, pieces.collect()).await.unwrap_or_default();
        String::from_utf8_lossy(&pieces.concat()).lines().map(|line| line.trim_end().to_owned()).collect()
    }

    async fn remove(mut self) {
        let id = self.id.take().expect("it is removed once");
        remove(self.engine.clone(), id).await;
    }
}

impl Drop for Container {
    /// A forced stop drops the step in mid-air.
    fn drop(&mut self) {
        if let (Some(id), Ok(runtime)) = (self.id.take(), tokio::runtime::Handle::try_current()) {
            drop(runtime.spawn(remove(self.engine.clone(), id)));
        }
    }
}

async fn remove(engine: Engine, id: String) {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    // what it was started for is known; litter is no failure
    drop(tokio::time::timeout(REMOVAL, engine.docker.remove_container(&id, Some(options))).await);
}
