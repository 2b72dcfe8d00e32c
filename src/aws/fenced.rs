//! The HTTP client of all AWS calls: it sends none while the run may not act.

use std::sync::Arc;

use aws_smithy_http_client::{
    Builder, ConnectorBuilder,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};

use crate::task::{Class, Fence, Place};

/// A request that was not sent, because the run may not act now or any more.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct NotSent {
    pub class: Class,
    pub why: String,
}

/// The client that the SDK uses if it is given none, which it does not pass on.
pub fn https() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.build()
    })
}

/// The same client behind the fence.
pub fn client(inner: SharedHttpClient, fence: &Fence, aws_region: &str) -> SharedHttpClient {
    SharedHttpClient::new(Client { inner, fence: fence.clone(), aws_region: aws_region.into() })
}

#[derive(Debug)]
struct Client {
    inner: SharedHttpClient,
    fence: Fence,
    aws_region: Arc<str>,
}

impl HttpClient for Client {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Connector {
            inner,
            fence: self.fence.clone(),
            aws_region: self.aws_region.clone(),
        })
    }
}

/// Asked for every attempt of a call, not only for its first: the SDK's pauses may be long.
#[derive(Debug)]
struct Connector {
    inner: SharedHttpConnector,
    fence: Fence,
    aws_region: Arc<str>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        match self.fence.pass(Place::Aws(&self.aws_region)) {
            Ok(()) => self.inner.call(request),
            // Of no kind that the SDK retries: that would last for seconds, and the run's own retries last for minutes.
            Err(shut) => {
                let not_sent = NotSent { class: shut.class, why: shut.to_string() };
                HttpConnectorFuture::ready(Err(ConnectorError::other(not_sent.into(), None)))
            }
        }
    }
}
