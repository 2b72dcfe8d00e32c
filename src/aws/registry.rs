//! ECR in one region: an image's digest by its tag, a repository's URL, and a login for the registry.

use aws_sdk_ecr::types::ImageIdentifier;
use base64::Engine as _;
use secrecy::SecretString;
use url::Url;

use super::{Aws, classify, is_missing};
use crate::{
    container::{Login, parse_digest},
    fact::ImageDigest,
    task::{Error, ErrorExt, Result},
};

/// The account's registry in an AWS region.
#[derive(Debug, Clone)]
pub struct Registry {
    client: aws_sdk_ecr::Client,
    aws_region: String,
}

impl Registry {
    pub fn new(aws: &Aws, aws_region: &str) -> Self {
        let client = aws_sdk_ecr::Client::new(&aws.in_region(aws_region));
        Self { client, aws_region: aws_region.to_owned() }
    }

    /// The digest of a tag; `None` if the tag or its repository does not exist.
    pub async fn digest(&self, repository: &str, tag: &str) -> Result<Option<ImageDigest>> {
        let what = format!("look up `{repository}:{tag}` in ECR of `{}`", self.aws_region);
        let image = ImageIdentifier::builder().image_tag(tag).build();
        let described =
            self.client.describe_images().repository_name(repository).image_ids(image).send().await;
        let described = match described {
            Ok(described) => described,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(classify(error)).doing(what),
        };
        let Some(digest) = described.image_details().first().and_then(|image| image.image_digest()) else {
            return Ok(None);
        };
        let invalid = || Error::permanent(format!("ECR returned `{digest}`, which is not a valid digest"));
        parse_digest(digest).ok_or_else(invalid).doing(what).map(Some)
    }

    /// A repository as `HOST/NAME`; `None` if it does not exist.
    pub async fn url(&self, repository: &str) -> Result<Option<String>> {
        match self.client.describe_repositories().repository_names(repository).send().await {
            Ok(described) => {
                let first = described.repositories().first();
                Ok(first.and_then(|repository| repository.repository_uri()).map(str::to_owned))
            }
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => {
                Err(classify(error)).doing(format!("look up `{repository}` in ECR of `{}`", self.aws_region))
            }
        }
    }

    /// A login for the registry. It expires after 12 hours, or earlier with the credentials that requested
    /// it: request it just before it is used.
    pub async fn login(&self) -> Result<Login> {
        let what = format!("log in to ECR of `{}`", self.aws_region);
        let answer = self.client.get_authorization_token().send().await;
        let answer = answer.map_err(classify).doing(what.clone())?;
        let data = answer.authorization_data().first();
        data.and_then(|data| decode(data.authorization_token()?, data.proxy_endpoint()?))
            .ok_or_else(|| Error::permanent("ECR returned no usable authorization token"))
            .doing(what)
    }
}

/// The token is `user:password` in base64; the endpoint is the registry's URL.
fn decode(token: &str, endpoint: &str) -> Option<Login> {
    let token = base64::engine::general_purpose::STANDARD.decode(token).ok()?;
    let (user, password) = std::str::from_utf8(&token).ok()?.split_once(':')?;
    let endpoint = Url::parse(endpoint).ok().filter(Url::has_host)?;
    Some(Login { endpoint, user: user.to_owned(), password: SecretString::from(password.to_owned()) })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::decode;

    #[test]
    fn a_token_contains_a_user_and_a_password() {
        // AWS:xyzzy:7
        let login = decode("QVdTOnh5enp5Ojc=", "https://1.dkr.ecr.eu-south-2.amazonaws.com").unwrap();
        assert_eq!((login.user.as_str(), login.password.expose_secret()), ("AWS", "xyzzy:7"));
        assert_eq!(login.endpoint.host_str(), Some("1.dkr.ecr.eu-south-2.amazonaws.com"));
        assert!(!format!("{login:?}").contains("xyzzy"));
    }

    #[test]
    fn an_invalid_token_gives_no_login() {
        assert!(decode("%%%", "https://x").is_none());
        assert!(decode("QVdT", "https://x").is_none());
        assert!(decode("QVdTOnA=", "x").is_none());
    }
}
