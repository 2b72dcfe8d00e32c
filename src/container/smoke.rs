//! Starts an image once, so that one that cannot start never reaches a registry.

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

/// A service that prints its version or checks its configuration ends within a second.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long each clean-up request may take: an engine that hangs must not hang the step as well.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(20);
/// Marks our containers, so that those of a killed run can be found.
const LABEL: &str = "paydeploy.trial";
/// The age in seconds at which a container with the label counts as abandoned. It is far beyond [`DEADLINE`],
/// because the same engine may serve another run.
const ABANDONED: i64 = 10 * 60;
/// How many of the container's last lines an error repeats.
const TAIL: &str = "12";

/// Starts an image with `args` under a pod's restrictions: no writable file system, no privileges, and no
/// network either.
///
/// # Errors
/// When it does not exit with code 0 in time, with its last lines.
pub async fn smoke(task: &Task, engine: &Engine, image: &str, args: &[&str]) -> Result<()> {
    let what = format!("start the image with `{}`", args.join(" "));
    task.progress("starting the image once");
    let container = Container::create(engine, image, args).await.doing(what.clone())?;
    let ended = tokio::select! {
        ended = tokio::time::timeout(DEADLINE, container.run()) => match ended {
            Ok(Ok(0)) => Ok(()),
            Ok(Ok(code)) => Err(Error::permanent(format!("it exited with code {code}"))),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::permanent(format!("it was still running after {} s", DEADLINE.as_secs()))),
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

/// A container that is removed when this is dropped.
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
        self.id.as_deref().expect("the id is only taken by the removal")
    }

    async fn run(&self) -> Result<i64> {
        let docker = &self.engine.docker;
        docker.start_container(self.id(), None::<StartContainerOptions>).await.map_err(classify)?;
        match docker.wait_container(self.id(), None::<WaitContainerOptions>).next().await {
            Some(Ok(ended)) => Ok(ended.status_code),
            Some(Err(EngineError::DockerContainerWaitError { code, error })) if error.is_empty() => Ok(code),
            Some(Err(error)) => Err(classify(error)),
            None => Err(Error::transient("the engine did not report how the container ended")),
        }
    }

    /// The container's last lines. Errors are swallowed, because the lines only explain another result.
    async fn tail(&self) -> Vec<String> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(TAIL).build();
        let logs = self.engine.docker.logs(self.id(), Some(options));
        let pieces = logs.filter_map(|piece| std::future::ready(piece.ok().map(LogOutput::into_bytes)));
        let pieces: Vec<_> =
            tokio::time::timeout(CLEANUP_TIMEOUT, pieces.collect()).await.unwrap_or_default();
        String::from_utf8_lossy(&pieces.concat()).lines().map(|line| line.trim_end().to_owned()).collect()
    }

    async fn remove(mut self) {
        let id = self.id.take().expect("a container is removed once");
        remove(self.engine.clone(), id).await;
    }
}

impl Drop for Container {
    /// A hard stop drops the step at any point. Removal then continues in the background; if the process ends
    /// before it is done, the next run's [`sweep`] removes the container.
    fn drop(&mut self) {
        if let (Some(id), Ok(runtime)) = (self.id.take(), tokio::runtime::Handle::try_current()) {
            drop(runtime.spawn(remove(self.engine.clone(), id)));
        }
    }
}

/// Removes containers that earlier runs left. Errors are swallowed, because leftovers are no reason to fail
/// this run.
async fn sweep(engine: &Engine) {
    let filters = HashMap::from([("label", vec![LABEL])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let listed = tokio::time::timeout(CLEANUP_TIMEOUT, engine.docker.list_containers(Some(options))).await;
    let limit = jiff::Timestamp::now().as_second() - ABANDONED;
    let containers = listed.ok().and_then(Result::ok).unwrap_or_default().into_iter();
    for container in containers.filter(|container| container.created.is_some_and(|time| time < limit)) {
        if let Some(id) = container.id {
            remove(engine.clone(), id).await;
        }
    }
}

async fn remove(engine: Engine, id: String) {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    // The error is swallowed because the result of the smoke test is known, and the next run sweeps again.
    drop(tokio::time::timeout(CLEANUP_TIMEOUT, engine.docker.remove_container(&id, Some(options))).await);
}
