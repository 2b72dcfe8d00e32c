//! A push by the engine, followed by its status lines.

use std::time::Duration;

use bollard::{
    auth::DockerCredentials, errors::Error as EngineError, models::PushImageInfo,
    query_parameters::PushImageOptionsBuilder,
};
use futures::StreamExt;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::{
    Engine, Repository, bounded,
    error::classify,
    log::Log,
    login::{Failure, Login, is_refusal},
    parse_digest,
};
use crate::{
    fact::ImageDigest,
    task::{Error, Result, Task},
};

/// A service's image over a slow uplink takes minutes; this is far beyond.
const DEADLINE: Duration = Duration::from_mins(20);
/// An engine that reports nothing for this long has lost its registry.
const SILENCE: Duration = Duration::from_mins(1);
/// An engine retries an unavailable registry for about 50 s without reporting a reason. Stopping it earlier
/// leaves the rest to our own retries, which report the reason.
const RETRYING: Duration = Duration::from_secs(20);

/// Pushes an image of the engine as `repository:tag`, and returns its digest in the registry.
///
/// # Errors
/// [`Failure::Login`] when the registry refuses the login; a transient error when it is unavailable.
pub async fn push(
    task: &Task,
    engine: &Engine,
    image: &str,
    repository: &Repository,
    tag: &str,
    login: Login,
) -> Result<ImageDigest, Failure> {
    engine.name_for(image, repository, tag).await?;
    let what = format!("push `{}` to `{}`", repository.name, repository.host);
    let pushed = bounded(task, DEADLINE, follow(task, engine, repository, tag, login)).await;
    pushed.map_err(|failure| failure.doing(&what))
}

async fn follow(
    task: &Task,
    engine: &Engine,
    repository: &Repository,
    tag: &str,
    login: Login,
) -> Result<ImageDigest, Failure> {
    let mut log = Log::open(task)?;
    let options = PushImageOptionsBuilder::default().tag(tag).build();
    let credentials = DockerCredentials {
        username: Some(login.user),
        password: Some(login.password.expose_secret().to_owned()),
        serveraddress: Some(repository.host.clone()),
        ..DockerCredentials::default()
    };
    let mut events =
        Box::pin(engine.docker.push_image(&repository.to_string(), Some(options), Some(credentials)));
    let (mut seen, mut reported) = (PushProgress::default(), (0, 0));
    task.progress(format!("pushing to {}", repository.host));
    loop {
        let event = tokio::time::timeout(SILENCE, events.next()).await.map_err(|_| {
            Error::transient(format!("`{}` has not responded for {} s", repository.host, SILENCE.as_secs()))
        })?;
        let Some(event) = event else { break };
        let status = event.map_err(failed)?;
        if let Some(line) = seen.take(&status, tag, Instant::now()) {
            log.line(&line)?;
        }
        if seen.retries_for(Instant::now()) > RETRYING {
            return Err(Error::transient(format!(
                "`{}` does not accept the image's layers",
                repository.host
            ))
            .into());
        }
        if reported != (seen.done, seen.layers) {
            reported = (seen.done, seen.layers);
            task.count(seen.done, seen.layers, format!("pushing to {}", repository.host));
        }
    }
    seen.digest.ok_or_else(|| Error::transient("the engine ended the push without a digest").into())
}

fn failed(error: EngineError) -> Failure {
    match error {
        EngineError::DockerStreamError { error } if is_refusal(&error) => {
            Failure::Login(error.trim_end().to_owned())
        }
        EngineError::DockerStreamError { error } if is_taken(&error) => {
            // Another run pushed first. The retry checks whether it pushed the same image.
            Failure::Other(Error::transient(error.trim_end()))
        }
        error => Failure::Other(classify(error)),
    }
}

/// Whether a registry with immutable tags reports that the tag already exists.
pub(super) fn is_taken(message: &str) -> bool {
    message.contains("tag is immutable") || message.contains("cannot be overwritten")
}

/// The sum of the status lines.
#[derive(Debug, Default)]
struct PushProgress {
    layers: u32,
    done: u32,
    /// Since when the engine has only been retrying.
    retrying: Option<Instant>,
    digest: Option<ImageDigest>,
}

impl PushProgress {
    /// Adds a status line, and returns it for the log unless it belongs to a progress bar.
    fn take(&mut self, event: &PushImageInfo, tag: &str, now: Instant) -> Option<String> {
        let status = event.status.as_deref()?;
        match status {
            "Preparing" => self.layers += 1,
            "Pushed" | "Layer already exists" => self.done += 1,
            _ if status.starts_with("Mounted from ") => self.done += 1,
            _ => {}
        }
        if status.starts_with("Retrying in ") {
            self.retrying.get_or_insert(now);
        } else {
            self.retrying = None;
        }
        if let Some(digest) = digest_in(status, tag) {
            self.digest = Some(digest);
        }
        // PushProgress bars and countdowns would fill the log.
        let is_bar =
            matches!(status, "Preparing" | "Waiting" | "Pushing") || status.starts_with("Retrying in ");
        (!is_bar).then(|| status.to_owned())
    }

    fn retries_for(&self, now: Instant) -> Duration {
        self.retrying.map_or(Duration::ZERO, |since| now.duration_since(since))
    }
}

/// The digest at the end of a push. The API has no field for it, only the text `TAG: digest: sha256:… size:
/// 1234`.
fn digest_in(status: &str, tag: &str) -> Option<ImageDigest> {
    let rest = status.strip_prefix(tag)?.strip_prefix(": digest: ")?;
    parse_digest(rest.split(' ').next()?)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        time::Duration,
    };

    use base64::{Engine as _, prelude::BASE64_URL_SAFE};
    use bollard::{errors::Error as EngineError, models::PushImageInfo};
    use tokio::time::Instant;

    use super::{PushProgress, digest_in, failed, push};
    use crate::{
        container::{Engine, Failure, Login, with_login},
        task::{Class, testing},
        testing::{Request, Response, serve},
    };

    fn status(text: &str) -> PushImageInfo {
        PushImageInfo { status: Some(text.to_owned()), ..PushImageInfo::default() }
    }

    fn refused(message: &str) -> Failure {
        failed(EngineError::DockerStreamError { error: message.to_owned() })
    }

    #[test]
    fn the_digest_of_a_push_is_read_from_its_last_status() {
        let digest = format!("sha256:{}", "4f".repeat(32));
        let last = format!("0123abc: digest: {digest} size: 528");
        assert_eq!(digest_in(&last, "0123abc").unwrap().0, digest);
        assert_eq!(digest_in(&last, "0123abd"), None, "another tag's");
        assert_eq!(digest_in("0123abc: digest: sha256:4f size: 528", "0123abc"), None);
    }

    #[test]
    fn layers_are_counted_and_progress_bars_stay_out_of_the_log() {
        let (mut seen, now) = (PushProgress::default(), Instant::now());
        let mut logged = Vec::new();
        for text in [
            "Preparing",
            "Preparing",
            "Preparing",
            "Pushing",
            "Layer already exists",
            "Pushed",
            "Mounted from x",
        ] {
            logged.extend(seen.take(&status(text), "t", now));
        }
        assert_eq!((seen.done, seen.layers), (3, 3));
        assert_eq!(logged, ["Layer already exists", "Pushed", "Mounted from x"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_only_retries_is_detected() {
        let mut seen = PushProgress::default();
        seen.take(&status("Retrying in 5 seconds"), "t", Instant::now());
        tokio::time::advance(Duration::from_secs(5)).await;
        seen.take(&status("Retrying in 10 seconds"), "t", Instant::now());
        assert_eq!(seen.retries_for(Instant::now()), Duration::from_secs(5));
        seen.take(&status("Pushing"), "t", Instant::now());
        assert_eq!(seen.retries_for(Instant::now()), Duration::ZERO);
    }

    #[test]
    fn a_failed_push_is_classified_by_its_message() {
        assert!(matches!(refused("no basic auth credentials"), Failure::Login(_)));
        let class = |failure: Failure| match failure {
            Failure::Other(error) => error.class,
            Failure::Login(message) => panic!("{message} is not a refused login"),
        };
        assert_eq!(class(refused("dial tcp 10.89.1.1:5601: connect: connection refused")), Class::Transient);
        assert_eq!(
            class(refused("name unknown: The repository with name 'x' does not exist")),
            Class::Permanent
        );
        let taken = "tag invalid: The image tag 'a' already exists in the 'x' repository and cannot be overwritten \
                     because the tag is immutable.";
        assert_eq!(class(refused(taken)), Class::Transient);
    }

    /// An engine whose registry refuses the first password after the first layer.
    fn refusing_engine(request: &Request, digest: &str, passwords: &Mutex<Vec<String>>) -> Response {
        if request.path.ends_with("/version") {
            return Response::new(200, r#"{"ApiVersion": "1.44"}"#).with("content-type", "application/json");
        }
        if request.path.contains("/tag?") {
            return Response::new(201, "");
        }
        let credentials = BASE64_URL_SAFE.decode(&request.headers["x-registry-auth"]).unwrap();
        let credentials: serde_json::Value = serde_json::from_slice(&credentials).unwrap();
        let password = credentials["password"].as_str().unwrap().to_owned();
        let mut lines = vec![r#"{"status": "Preparing"}"#.to_owned(), r#"{"status": "Pushed"}"#.to_owned()];
        lines.push(if password == "first" {
            let message = "unauthorized: authentication required";
            format!(r#"{{"errorDetail": {{"message": "{message}"}}, "error": "{message}"}}"#)
        } else {
            format!(r#"{{"status": "v1: digest: {digest} size: 528"}}"#)
        });
        passwords.lock().unwrap().push(password);
        // The engine has answered 200 by the time the registry refuses a layer.
        Response::new(200, lines.join("\n") + "\n").with("content-type", "application/json")
    }

    #[tokio::test]
    async fn a_login_that_expires_during_a_push_is_renewed_and_the_push_is_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(folder.path());
        let digest = format!("sha256:{}", "4f".repeat(32));
        let passwords: Arc<Mutex<Vec<String>>> = Arc::default();
        let (seen, wanted) = (Arc::clone(&passwords), digest.clone());
        let address = serve(move |request| refusing_engine(request, &wanted, &seen)).await;
        let engine = Engine::at(&format!("tcp://{address}")).await.unwrap();

        let mut unused = ["first", "second"].into_iter();
        let login = || {
            std::future::ready(Ok(Login {
                endpoint: "https://r.example".parse().unwrap(),
                user: "AWS".to_owned(),
                password: unused.next().unwrap().into(),
            }))
        };
        let repository = "r.example/api".parse().unwrap();
        let pushed = with_login(login, |login| push(&task, &engine, "sha256:1d", &repository, "v1", login));
        assert_eq!(pushed.await.unwrap().0, digest);
        assert_eq!(*passwords.lock().unwrap(), ["first", "second"]);
    }
}
