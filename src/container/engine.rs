//! The local container engine, whichever it is.

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

const USUAL: &str = "unix:///var/run/docker.sock";
/// How long an engine may take to say which API it speaks.
const PATIENCE: Duration = Duration::from_secs(10);
/// From a request to its answer's first byte: an engine reads the whole build context before it answers.
const FIRST_BYTE: Duration = Duration::from_mins(10);

/// An engine that has answered.
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
    /// The engine that `DOCKER_HOST` names, or the one at the usual socket.
    ///
    /// # Errors
    /// When none answers, with what to do about it.
    pub async fn from_env() -> Result<Self> {
        // an empty variable means none, as for the Docker CLI
        let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        Self::at(host.as_deref().unwrap_or(USUAL)).await
    }

    /// The engine at an address such as `unix:///var/run/docker.sock` or `tcp://10.0.0.1:2375`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn at(address: &str) -> Result<Self> {
        let ask = async {
            let docker = Docker::connect_with_host(address)?.with_timeout(FIRST_BYTE);
            docker.negotiate_version().await
        };
        let why = match tokio::time::timeout(PATIENCE, ask).await {
            Ok(Ok(docker)) => return Ok(Self { docker }),
            Ok(Err(error)) => classify(error).to_string(),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        Err(Error::permanent(format!("no container engine answers at `{address}`: {why}")).with_hint(
            "start the container engine (`systemctl start docker`), or set DOCKER_HOST to one that runs",
        ))
    }

    /// An image by its name or id.
    pub async fn image(&self, name: &str) -> Result<Option<LocalImage>> {
        let image = match self.docker.inspect_image(name).await {
            Ok(image) => image,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(classify(error)).doing(format!("look for the image `{name}`")),
        };
        let revision = image
            .config
            .and_then(|config| config.labels)
            .and_then(|mut labels| labels.remove("org.opencontainers.image.revision"));
        Ok(image.id.map(|id| LocalImage { id, revision }))
    }

    /// Gives an image a name of this engine alone.
    pub async fn name(&self, image: &str, name: &str, tag: &str) -> Result<()> {
        let options = TagImageOptionsBuilder::default().repo(name).tag(tag).build();
        let tagged = self.docker.tag_image(image, Some(options)).await;
        tagged.map_err(classify).doing(format!("name the image `{name}:{tag}`"))
    }

    /// Gives an image the name that it is pushed by.
    pub(super) async fn name_for(&self, image: &str, repository: &Repository, tag: &str) -> Result<()> {
        self.name(image, &repository.to_string(), tag).await
    }

    /// Removes an image that nobody has named; one in use stays.
    pub async fn discard(&self, image: &str) {
        let options = RemoveImageOptionsBuilder::default().build();
        // litter in the engine is no reason to fail, least of all after another failure
        drop(self.docker.remove_image(image, Some(options), None).await);
    }
}

#[cfg(test)]
mod tests {
    use super::Engine;
    use crate::task::Class;

    #[tokio::test]
    async fn without_an_engine_the_remedy_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let address = format!("unix://{}/docker.sock", dir.path().display());
        let error = Engine::at(&address).await.unwrap_err();
        assert_eq!(error.class, Class::Permanent);
        assert!(
            error.to_string().starts_with(&format!("no container engine answers at `{address}`")),
            "{error}"
        );
        assert!(error.hint.unwrap().contains("DOCKER_HOST"));
    }

    #[tokio::test]
    async fn an_address_of_another_kind_is_named() {
        let error = Engine::at("ssh://builder.example").await.unwrap_err();
        assert!(error.to_string().contains("ssh://builder.example"), "{error}");
    }
}
