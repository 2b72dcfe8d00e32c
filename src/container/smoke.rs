//! A first start of an image, so that one that cannot even start never reaches a registry.

use std::{collections::HashMap, time::Duration};

use bollard::{
    container::LogOutput,
    errors::Error as EngineError,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{
        CreateContainerOptions, ListContainersOptionsBuilder, LogsOptionsBuilder,
        RemoveContainerOptionsBuilder, StartContainerOptions, WaitContainerOptions,
    },
};
use futures::StreamExt;

use super::{Engine, error::classify, log::Log};
use crate::task::{Class, Error, ErrorExt, Result, Task};

const DEADLINE: Duration = Duration::from_secs(30);
/// How long its removal may take.
const REMOVAL: Duration = Duration::from_secs(20);
/// Tells what was left by a run that was killed here.
const LABEL: &str = "paydeploy.trial";
/// From when on a container with the label is nobody's: the same engine may serve another run.
const ABANDONED: i64 = 10 * 60;
const TAIL: &str = "12";

/// Starts an image with `args`, as a pod would have it: no network, nothing to write to, no privileges.
///
/// # Errors
/// When it does not end by itself with exit code 0, with its last lines.
pub async fn smoke(task: &Task, engine: &Engine, image: &str, args: &[&str]) -> Result<()> {
    let what = format!("start the image with `{}`", args.join(" "));
    task.progress("starts the image once");
    let container = Container::create(engine, image, args).await.doing(what.clone())?;
    let ended = tokio::select! {
        ended = tokio::time::timeout(DEADLINE, container.run()) => match ended {
            Ok(Ok(0)) => Ok(()),
            Ok(Ok(code)) => Err(Error::permanent(format!("it ended with exit code {code}"))),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::permanent(format!("it still ran after {} s", DEADLINE.as_secs()))),
        },
        () = task.cancel.soft.cancelled() => Err(Error::cancelled()),
    };
    let tail = container.tail().await;
    container.remove().await;
    let mut log = Log::open(task)?;
    for line in &tail {
        log.line(&format!("{}: {line}", args.join(" ")))?;
    }
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
        sweep(engine).await;
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
            labels: Some([(LABEL.to_owned(), String::new())].into()),
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

/// Removes what earlier runs could not.
async fn sweep(engine: &Engine) {
    let filters = HashMap::from([("label", vec![LABEL])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let listed = tokio::time::timeout(REMOVAL, engine.docker.list_containers(Some(options))).await;
    let limit = jiff::Timestamp::now().as_second() - ABANDONED;
    let left = listed.ok().and_then(Result::ok).unwrap_or_default().into_iter();
    for container in left.filter(|container| container.created.is_some_and(|made| made < limit)) {
        if let Some(id) = container.id {
            remove(engine.clone(), id).await;
        }
    }
}

async fn remove(engine: Engine, id: String) {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    // what it was started for is known; litter is no failure
    drop(tokio::time::timeout(REMOVAL, engine.docker.remove_container(&id, Some(options))).await);
}
