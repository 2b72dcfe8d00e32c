//! One repository of a registry, over HTTP.

use std::{fs::File, io::Write, time::Duration};

use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, LOCATION},
};
use secrecy::ExposeSecret;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use url::Url;

use super::manifest::{MEDIA_TYPES, Manifest, Part, named};
use crate::{
    container::{Failure, Login, Repository, pieces::pieces, push::is_taken},
    fact::ImageDigest,
    task::{Class, Error, ErrorExt, Result},
    web_proxy,
};

/// A registry that is up accepts a connection within a second, across regions too.
const CONNECT: Duration = Duration::from_secs(10);
/// A registry that neither sends nor accepts data for this long is down.
const SILENCE: Duration = Duration::from_mins(1);

/// A client for any registry. It trusts the machine's certificate authorities, or those in `SSL_CERT_FILE`.
///
/// # Errors
/// When the machine has none.
pub fn http() -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .user_agent(concat!("paydeploy/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .build()
        .doing("create an HTTPS client")
}

/// A repository and a login for it.
#[derive(Debug, Clone)]
pub struct Remote {
    http: reqwest::Client,
    host: String,
    /// `https://HOST/v2/NAME/`
    base: Url,
    login: Login,
}

impl Remote {
    /// # Errors
    /// When the login is for another registry than the repository's: a password must not reach a third party.
    pub fn new(http: reqwest::Client, repository: &Repository, login: Login) -> Result<Self> {
        let mut host = login.endpoint.host_str().unwrap_or_default().to_owned();
        if let Some(port) = login.endpoint.port() {
            host = format!("{host}:{port}");
        }
        if host != repository.host {
            return Err(Error::permanent(format!(
                "the login is for `{host}`, not for `{}`",
                repository.host
            )));
        }
        let base = login.endpoint.join(&format!("/v2/{}/", repository.name));
        let base = base.doing(format!("build the URL of `{repository}`"))?;
        Ok(Self { http, host, base, login })
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// A manifest by its digest, which is verified.
    pub async fn manifest(&self, digest: &ImageDigest) -> Result<Manifest, Failure> {
        let request =
            self.request(Method::GET, &format!("manifests/{digest}"))?.header(ACCEPT, MEDIA_TYPES.join(", "));
        let answer = self.good("get the manifest from", request).await?;
        let content_type =
            answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let bytes = answer.bytes().await.map_err(|error| self.unreachable("get the manifest from", error))?;
        let manifest = Manifest::parse(bytes, content_type.as_deref())?;
        if manifest.digest != *digest {
            return Err(self.corrupt(digest, &manifest.digest).into());
        }
        Ok(manifest)
    }

    fn corrupt(&self, requested: &ImageDigest, got: &ImageDigest) -> Error {
        Error::transient(format!("`{}` sent {got} instead of {requested}", self.host))
    }

    pub(super) async fn put_manifest(&self, reference: &str, manifest: &Manifest) -> Result<(), Failure> {
        let request = self
            .request(Method::PUT, &format!("manifests/{reference}"))?
            .header(CONTENT_TYPE, &manifest.media_type)
            .body(manifest.bytes.clone());
        self.good("put the manifest into", request).await.map(drop)
    }

    pub(super) async fn has_blob(&self, blob: &Part) -> Result<bool, Failure> {
        let request = self.request(Method::HEAD, &format!("blobs/{}", blob.digest))?;
        let answer = self.sent("check for a layer in", request).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        self.judged("check for a layer in", answer).await.map(|_| true)
    }

    /// Downloads a blob into an unnamed temporary file, and verifies its digest.
    pub(super) async fn blob(&self, blob: &Part) -> Result<File, Failure> {
        const WHAT: &str = "get a layer from";
        let request = self.request(Method::GET, &format!("blobs/{}", blob.digest))?;
        // ECR redirects to S3, which must not receive the login: reqwest removes it when the host changes.
        let mut answer = self.good(WHAT, request).await?;
        let mut hash = Sha256::new();
        let mut file = tempfile::tempfile().doing("create a temporary file")?;
        while let Some(piece) = answer.chunk().await.map_err(|error| self.unreachable(WHAT, error))? {
            hash.update(&piece);
            file.write_all(&piece).doing("write a layer to a temporary file")?;
        }
        let got = named(hash);
        if got == blob.digest { Ok(file) } else { Err(self.corrupt(&blob.digest, &got).into()) }
    }

    /// Uploads a blob as a session with a single PATCH; the registry verifies the digest.
    ///
    /// ECR refuses parts smaller than 5 MiB except the last one, and a single one is always the last.
    pub(super) async fn put_blob(&self, blob: &Part, content: File) -> Result<(), Failure> {
        const WHAT: &str = "put a layer into";
        let start = self.request(Method::POST, "blobs/uploads/")?.header(CONTENT_LENGTH, 0);
        let session = self.location(&self.good(WHAT, start).await?)?;
        let content = pieces(content).doing("read a layer from a temporary file")?;
        let upload = self
            .http
            .patch(session)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, blob.size)
            .body(reqwest::Body::wrap_stream(content));
        let mut session = self.location(&self.good(WHAT, self.with_login(upload)).await?)?;
        session.query_pairs_mut().append_pair("digest", &blob.digest.0);
        let end = self.http.put(session).header(CONTENT_LENGTH, 0);
        self.good(WHAT, self.with_login(end)).await.map(drop)
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder> {
        let url = self.base.join(path).doing(format!("build the URL of `{path}`"))?;
        Ok(self.with_login(self.http.request(method, url)))
    }

    fn with_login(&self, request: RequestBuilder) -> RequestBuilder {
        request.basic_auth(&self.login.user, Some(self.login.password.expose_secret()))
    }

    /// The URL at which an upload continues. It must be this registry's, because the login is sent with it.
    fn location(&self, answer: &Response) -> Result<Url> {
        let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        located(&self.base, location.unwrap_or_default()).ok_or_else(|| {
            Error::permanent(format!("`{}` sent no usable location for the upload", self.host))
        })
    }

    /// The response to a request, if it is a success.
    async fn good(&self, what: &str, request: RequestBuilder) -> Result<Response, Failure> {
        let answer = self.sent(what, request).await?;
        self.judged(what, answer).await
    }

    async fn sent(&self, what: &str, request: RequestBuilder) -> Result<Response, Failure> {
        request.send().await.map_err(|error| self.unreachable(what, error).into())
    }

    async fn judged(&self, what: &str, answer: Response) -> Result<Response, Failure> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let reason = reason(&answer.text().await.unwrap_or_default());
        let message = format!("failed to {what} `{}`: {status}{reason}", self.host);
        Err(match judge(status, &reason) {
            None => Failure::Login(message),
            Some(class) => Error::msg(class, message).into(),
        })
    }

    fn unreachable(&self, what: &str, error: reqwest::Error) -> Error {
        // The URL after a redirect is presigned: anyone who reads it in a log could download the layer.
        let error = error.without_url();
        let hint = web_proxy::hint(&error);
        let error = anyhow::Error::new(error);
        let is_untrusted = error.chain().any(|cause| cause.to_string().contains("invalid peer certificate"));
        let error = error.context(format!("failed to {what} `{}`", self.host));
        if is_untrusted {
            return Error::new(Class::Permanent, error).with_hint(
                "add the registry's certificate authority to this machine's trust store, or to the bundle that \
                 SSL_CERT_FILE names",
            );
        }
        Error { hint, ..Error::new(Class::Transient, error) }
    }
}

/// The class of a registry's error; `None` if a new login may help.
fn judge(status: StatusCode, reason: &str) -> Option<Class> {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => None,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Some(Class::Transient),
        status if status.is_server_error() => Some(Class::Transient),
        // Another run pushed first. The retry checks whether it pushed the same image.
        _ if is_taken(reason) => Some(Class::Transient),
        _ => Some(Class::Permanent),
    }
}

/// The messages of a registry's error, or the first 200 characters of another body, such as a proxy's page.
fn reason(body: &str) -> String {
    #[derive(Deserialize)]
    struct Body {
        errors: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let reason = match serde_json::from_str::<Body>(body) {
        Ok(body) => {
            let one = |one: &One| format!("{}: {}", one.code, one.message);
            body.errors.iter().map(one).collect::<Vec<_>>().join("; ")
        }
        Err(_) => body.trim().chars().take(200).collect(),
    };
    if reason.is_empty() { reason } else { format!(": {reason}") }
}

/// A `Location` header, resolved; `None` if it is empty or leads to another origin.
fn located(base: &Url, location: &str) -> Option<Url> {
    let location = base.join(location).ok().filter(|_| !location.is_empty())?;
    (location.origin() == base.origin()).then_some(location)
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use secrecy::SecretString;
    use url::Url;

    use super::{Remote, http, judge, located, reason};
    use crate::{container::Login, task::Class};

    #[test]
    fn an_upload_continues_only_at_the_same_registry() {
        let base: Url = "https://r.example:5601/v2/api/".parse().unwrap();
        let location = located(&base, "/v2/api/blobs/uploads/1?_state=a%2Bb").unwrap();
        assert_eq!(location.as_str(), "https://r.example:5601/v2/api/blobs/uploads/1?_state=a%2Bb");
        assert!(located(&base, "https://r.example:5601/u?x=1").is_some());
        assert_eq!(located(&base, "https://elsewhere.example/u"), None);
        assert_eq!(located(&base, "http://r.example:5601/u"), None, "not in the clear either");
        assert_eq!(located(&base, ""), None);
    }

    #[test]
    fn an_error_is_classified_by_its_status_and_message() {
        assert_eq!(judge(StatusCode::UNAUTHORIZED, ""), None);
        assert_eq!(judge(StatusCode::FORBIDDEN, ": DENIED: token has expired"), None);
        assert_eq!(judge(StatusCode::BAD_GATEWAY, ""), Some(Class::Transient));
        assert_eq!(judge(StatusCode::TOO_MANY_REQUESTS, ""), Some(Class::Transient));
        assert_eq!(
            judge(StatusCode::BAD_REQUEST, ": TAG_INVALID: … because the tag is immutable."),
            Some(Class::Transient)
        );
        assert_eq!(judge(StatusCode::NOT_FOUND, ": NAME_UNKNOWN"), Some(Class::Permanent));
    }

    #[test]
    fn a_registrys_message_is_quoted_but_not_a_whole_page() {
        let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#;
        assert_eq!(reason(body), ": MANIFEST_UNKNOWN: manifest unknown");
        assert_eq!(reason(&"<p>".repeat(500)).len(), 202);
        assert_eq!(reason(""), "");
    }

    #[test]
    fn a_login_is_only_sent_to_its_own_registry() {
        let login = Login {
            endpoint: "https://r.example:5601".parse().unwrap(),
            user: "AWS".to_owned(),
            password: SecretString::from("x"),
        };
        let remote =
            |repository: &str| Remote::new(http().unwrap(), &repository.parse().unwrap(), login.clone());
        assert_eq!(remote("r.example:5601/team/api").unwrap().base.path(), "/v2/team/api/");
        let error = remote("other.example/api").unwrap_err();
        assert_eq!(error.to_string(), "the login is for `r.example:5601`, not for `other.example`");
    }
}
