//! The local container engine: Docker, or Podman through its Docker API.

use std::time::Duration;

use bollard::{
    Docker,
    query_parameters::{RemoveImageOptionsBuilder, TagImageOptionsBuilder},
};

use super::{
    Repository,
    error::{classify, is_missing},
};
use crate::task::{Error, ErrorExt, Result};

/// The socket that the Docker CLI uses by default.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// How long an engine may take to negotiate its API's version. A local one responds immediately or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// From a request to the response's first byte: an engine reads the whole build context before it responds.
const FIRST_BYTE: Duration = Duration::from_mins(10);

/// An engine that has responded.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(super) docker: Docker,
}

/// An image in the engine's store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalImage {
    pub id: String,
    /// The label `org.opencontainers.image.revision`.
    pub revision: Option<String>,
}

impl Engine {
    /// The engine that `DOCKER_HOST` names, or the one at the default socket.
    ///
    /// # Errors
    /// When it does not respond, with a fix.
    pub async fn from_env() -> Result<Self> {
        // The Docker CLI treats an empty variable as unset.
        let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        Self::at(host.as_deref().unwrap_or(DEFAULT_HOST)).await
    }

    /// The engine at an address such as `unix:///var/run/docker.sock` or `tcp://10.0.0.1:2375`.
    ///
    /// # Errors
    /// When it does not respond.
    pub async fn at(address: &str) -> Result<Self> {
        let connect = async {
            let docker = Docker::connect_with_host(address)?.with_timeout(FIRST_BYTE);
            docker.negotiate_version().await
        };
        let why = match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
            Ok(Ok(docker)) => return Ok(Self { docker }),
            Ok(Err(error)) => classify(error).to_string(),
            Err(_) => format!("no response within {} s", CONNECT_TIMEOUT.as_secs()),
        };
        Err(Error::permanent(format!("no container engine responds at `{address}`: {why}")).with_hint(
            "start the container engine (`systemctl start docker`), or set DOCKER_HOST to one that is running",
        ))
    }

    /// An image by its name or id.
    pub async fn image(&self, name: &str) -> Result<Option<LocalImage>> {
        let image = match self.docker.inspect_image(name).await {
            Ok(image) => image,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(classify(error)).doing(format!("inspect the image `{name}`")),
        };
        let revision = image
            .config
            .and_then(|config| config.labels)
            .and_then(|mut labels| labels.remove("org.opencontainers.image.revision"));
        Ok(image.id.map(|id| LocalImage { id, revision }))
    }

    /// Names an image in this engine.
    pub async fn name(&self, image: &str, name: &str, tag: &str) -> Result<()> {
        let options = TagImageOptionsBuilder::default().repo(name).tag(tag).build();
        let tagged = self.docker.tag_image(image, Some(options)).await;
        tagged.map_err(classify).doing(format!("name the image `{name}:{tag}`"))
    }

    /// Gives an image the name under which it is pushed.
    pub(super) async fn name_for(&self, image: &str, repository: &Repository, tag: &str) -> Result<()> {
        self.name(image, &repository.to_string(), tag).await
    }

    /// Removes an unnamed image, unless it is in use.
    pub async fn discard(&self, image: &str) {
        let options = RemoveImageOptionsBuilder::default().build();
        // The error is swallowed because a leftover image is harmless, and must not hide another failure.
        drop(self.docker.remove_image(image, Some(options), None).await);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::{Engine, LocalImage};
    use crate::{
        task::Class,
        testing::{Request, Response, serve},
    };

    /// An engine that serves these versions of its API only, as Docker 29 does. Like Docker, it serves a request
    /// without a version in its newest one.
    fn engine_of(versions: &[&str], request: &Request) -> Response {
        let version = request.path.strip_prefix("/v").and_then(|rest| rest.split('/').next());
        // `/version` itself is not a version.
        let version = version.filter(|version| version.starts_with(|first: char| first.is_ascii_digit()));
        let response = match version {
            Some(version) if !versions.contains(&version) => {
                let body = format!(r#"{{"message": "client version {version} is not supported"}}"#);
                Response::new(400, body)
            }
            _ if request.path.ends_with("/version") => {
                let (oldest, newest) = (versions[0], versions[versions.len() - 1]);
                Response::new(200, format!(r#"{{"ApiVersion": "{newest}", "MinAPIVersion": "{oldest}"}}"#))
            }
            _ => Response::new(200, r#"{"Id": "sha256:1d"}"#),
        };
        response.with("content-type", "application/json")
    }

    #[tokio::test]
    async fn a_missing_engine_is_reported_with_a_fix() {
        let dir = tempfile::tempdir().unwrap();
        let address = format!("unix://{}/docker.sock", dir.path().display());
        let error = Engine::at(&address).await.unwrap_err();
        assert_eq!(error.class, Class::Permanent);
        assert!(
            error.to_string().starts_with(&format!("no container engine responds at `{address}`")),
            "{error}"
        );
        assert!(error.hint.unwrap().contains("DOCKER_HOST"));
    }

    #[tokio::test]
    async fn an_unsupported_address_is_named() {
        let error = Engine::at("ssh://builder.example").await.unwrap_err();
        assert!(error.to_string().contains("ssh://builder.example"), "{error}");
    }

    #[tokio::test]
    async fn an_engine_is_used_with_a_version_of_its_api_that_it_serves() {
        // One that is older than our client's own version, one that refuses the versions before 1.44, and one that
        // is newer than our client.
        for versions in [&["1.24", "1.41"][..], &["1.44", "1.52"], &["1.44", "1.53", "1.99"]] {
            let asked: Arc<Mutex<Vec<String>>> = Arc::default();
            let seen = Arc::clone(&asked);
            let address = serve(move |request| {
                seen.lock().unwrap().push(request.path.clone());
                engine_of(versions, request)
            })
            .await;
            let engine = Engine::at(&format!("tcp://{address}")).await.unwrap();
            let image = engine.image("api:v1").await.unwrap();
            let asked = asked.lock().unwrap();
            assert_eq!(image, Some(LocalImage { id: "sha256:1d".to_owned(), revision: None }), "{asked:?}");
        }
    }
}
