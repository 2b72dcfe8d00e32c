//! A valid EKS token on every request, signed in this process, and no request while the run may not act.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::SystemTime,
};

use futures::future::{BoxFuture, Either, Ready, ready as done};
use http::{HeaderValue, Request, header::AUTHORIZATION};
use kube::client::Body;
use secrecy::ExposeSecret;
use tower::{BoxError, Layer, Service};

use crate::{
    aws::{
        Aws,
        token::{Token, token},
    },
    fact,
    task::{Class, Error, Fence, Place, Result},
};

/// What tokens are signed with, and for which cluster.
pub(super) struct Signer {
    pub aws: aws_config::SdkConfig,
    pub cluster: String,
    pub fence: Fence,
    pub aws_region: String,
}

impl Signer {
    pub(super) fn new(aws: &Aws, access: &fact::Access) -> Self {
        Self {
            aws: aws.in_region(&access.aws_region),
            cluster: access.cluster.cluster_name.clone(),
            fence: aws.fence().clone(),
            aws_region: access.aws_region.clone(),
        }
    }

    pub(super) async fn token(&self) -> Result<Token> {
        token(&self.aws, &self.cluster, SystemTime::now()).await
    }
}

/// A step's error on its way through tower and kube, which only take boxed errors.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Carried {
    pub class: Class,
    pub message: String,
    pub hint: Option<String>,
}

impl From<Error> for Carried {
    fn from(error: Error) -> Self {
        Self { class: error.class, message: error.to_string(), hint: error.hint }
    }
}

#[derive(Clone)]
pub(super) struct BearerLayer(pub Arc<Signer>);

impl<S> Layer<S> for BearerLayer {
    type Service = Bearer<S>;

    fn layer(&self, inner: S) -> Bearer<S> {
        Bearer { inner, signer: self.0.clone(), state: TokenState::Empty }
    }
}

enum TokenState {
    Empty,
    Signing(BoxFuture<'static, Result<Token>>),
    Signed(Token),
    Failed(Carried),
}

/// Signs a token in `poll_ready`, where a service may wait, so that `call` does not have to.
///
/// A failure to sign is returned by `call`, not by `poll_ready`: a `tower::buffer`, which kube puts around
/// the service, ends permanently when `poll_ready` fails.
pub(super) struct Bearer<S> {
    inner: S,
    signer: Arc<Signer>,
    state: TokenState,
}

impl<S> Bearer<S> {
    fn sign(&self) -> BoxFuture<'static, Result<Token>> {
        let signer = self.signer.clone();
        Box::pin(async move { signer.token().await })
    }
}

impl<S> Service<Request<Body>> for Bearer<S>
where
    S: Service<Request<Body>, Error = BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<S::Future, Ready<Result<S::Response, BoxError>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        ready!(self.inner.poll_ready(cx))?;
        loop {
            match &mut self.state {
                TokenState::Signed(token) if token.lasts(SystemTime::now()) => return Poll::Ready(Ok(())),
                TokenState::Signing(signing) => match ready!(Pin::new(signing).poll(cx)) {
                    // Used for this request however soon it ends: a session in its last minute signs no better one.
                    Ok(token) => {
                        self.state = TokenState::Signed(token);
                        return Poll::Ready(Ok(()));
                    }
                    Err(error) => {
                        self.state = TokenState::Failed(error.into());
                        return Poll::Ready(Ok(()));
                    }
                },
                _ => self.state = TokenState::Signing(self.sign()),
            }
        }
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // Here and not where a token is signed: a token is good for many requests.
        if let Err(shut) = self.signer.fence.pass(Place::Aws(&self.signer.aws_region)) {
            return Either::Right(done(Err(Carried::from(shut).into())));
        }
        let TokenState::Signed(token) = &self.state else {
            let TokenState::Failed(failed) = std::mem::replace(&mut self.state, TokenState::Empty) else {
                unreachable!("`call` follows a successful `poll_ready`")
            };
            return Either::Right(done(Err(failed.into())));
        };
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.secret.expose_secret()))
            .expect("base64url is valid in a header");
        // Keeps the token out of hyper's and tower's debug output.
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
        Either::Left(self.inner.call(request))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use aws_config::{Region, SdkConfig};
    use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
    use futures::FutureExt;

    use super::*;

    /// Returns the request's own header.
    struct Echo;

    impl Service<Request<Body>> for Echo {
        type Response = HeaderValue;
        type Error = BoxError;
        type Future = Ready<Result<HeaderValue, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            done(Ok(request.headers()[AUTHORIZATION].clone()))
        }
    }

    fn service(credentials: Option<Credentials>) -> Bearer<Echo> {
        let mut aws = SdkConfig::builder().region(Region::new("eu-south-2"));
        aws.set_credentials_provider(credentials.map(SharedCredentialsProvider::new));
        let aws = aws.build();
        let (cluster, aws_region) = ("payments-spain".to_owned(), "eu-south-2".to_owned());
        BearerLayer(Arc::new(Signer { aws, cluster, fence: Fence::default(), aws_region })).layer(Echo)
    }

    async fn ask(service: &mut Bearer<Echo>) -> Result<HeaderValue, BoxError> {
        poll_fn(|cx| service.poll_ready(cx)).await?;
        service.call(Request::new(Body::empty())).await
    }

    #[tokio::test]
    async fn requests_share_a_token_until_it_expires() {
        let mut service = service(Some(Credentials::new("AKIDEXAMPLE", "secret", None, None, "test")));
        let first = ask(&mut service).await.unwrap();
        assert!(first.to_str().unwrap().starts_with("Bearer k8s-aws-v1."));
        assert!(first.is_sensitive());
        assert_eq!(ask(&mut service).await.unwrap(), first);
        let TokenState::Signed(token) = &mut service.state else { panic!("it was signed") };
        token.expires = SystemTime::now();
        assert!(poll_fn(|cx| service.poll_ready(cx)).now_or_never().is_some());
        let TokenState::Signed(token) = &service.state else { panic!("it was signed again") };
        assert!(token.lasts(SystemTime::now()));
    }

    #[tokio::test]
    async fn a_session_in_its_last_minute_signs_a_token_per_request_and_one_that_has_ended_none() {
        let ends_in = |seconds| {
            let end = SystemTime::now() + std::time::Duration::from_secs(seconds);
            service(Some(Credentials::new(
                "AKIDEXAMPLE",
                "secret",
                Some("session".to_owned()),
                Some(end),
                "test",
            )))
        };
        let mut last = ends_in(30);
        for _ in 0..2 {
            assert!(ask(&mut last).await.is_ok());
        }
        let error = ask(&mut ends_in(0)).await.unwrap_err().downcast::<Carried>().unwrap();
        assert_eq!((error.class, error.hint.is_some()), (Class::Transient, true));
    }

    #[tokio::test]
    async fn a_run_that_has_lost_its_lease_sends_no_request_although_its_token_is_good() {
        let mut service = service(Some(Credentials::new("AKIDEXAMPLE", "secret", None, None, "test")));
        ask(&mut service).await.unwrap();
        service.signer.fence.lose(&"spain".parse().unwrap(), "it was deleted");
        let error = ask(&mut service).await.unwrap_err().downcast::<Carried>().unwrap();
        assert_eq!((error.class, error.message.as_str()), (Class::Cancelled, "it was deleted"));
    }

    #[tokio::test]
    async fn a_failure_to_sign_fails_the_request_but_not_the_client() {
        let mut service = service(None);
        for _ in 0..2 {
            let error = ask(&mut service).await.unwrap_err();
            let unsigned = error.downcast::<Carried>().unwrap();
            assert_eq!(unsigned.class, Class::Permanent);
            assert!(unsigned.hint.is_some());
        }
    }
}
