//! A fresh EKS token on every request, signed in this process.

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
    aws::token::{Token, token},
    step::{Class, Error, Result},
};

/// Who signs, and for which cluster.
pub(super) struct Signer {
    pub aws: aws_config::SdkConfig,
    pub cluster: String,
}

/// Why a request was not sent: no token could be made.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Unsigned {
    pub class: Class,
    pub message: String,
    pub hint: Option<String>,
}

impl From<Error> for Unsigned {
    fn from(error: Error) -> Self {
        Self { class: error.class, message: error.to_string(), hint: error.hint }
    }
}

#[derive(Clone)]
pub(super) struct BearerLayer(pub Arc<Signer>);

impl<S> Layer<S> for BearerLayer {
    type Service = Bearer<S>;

    fn layer(&self, inner: S) -> Bearer<S> {
        Bearer { inner, signer: self.0.clone(), state: State::Empty }
    }
}

enum State {
    Empty,
    Signing(BoxFuture<'static, Result<Token>>),
    Signed(Token),
    Failed(Unsigned),
}

/// Signs while it is asked whether it is ready, so that requests themselves wait for nothing.
///
/// A failure to sign is the request's, not the service's: kube's buffer would end for good with the latter.
pub(super) struct Bearer<S> {
    inner: S,
    signer: Arc<Signer>,
    state: State,
}

impl<S> Bearer<S> {
    fn sign(&self) -> BoxFuture<'static, Result<Token>> {
        let signer = self.signer.clone();
        Box::pin(async move { token(&signer.aws, &signer.cluster, SystemTime::now()).await })
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
                State::Signed(token) if token.lasts(SystemTime::now()) => return Poll::Ready(Ok(())),
                State::Signing(signing) => match ready!(Pin::new(signing).poll(cx)) {
                    Ok(token) => self.state = State::Signed(token),
                    Err(error) => {
                        self.state = State::Failed(error.into());
                        return Poll::Ready(Ok(()));
                    }
                },
                _ => self.state = State::Signing(self.sign()),
            }
        }
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let State::Signed(token) = &self.state else {
            let State::Failed(failed) = std::mem::replace(&mut self.state, State::Empty) else {
                unreachable!("a service is called only when it is ready")
            };
            return Either::Right(done(Err(failed.into())));
        };
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.secret.expose_secret()))
            .expect("a token is base64url");
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
        Either::Left(self.inner.call(request))
    }
}
