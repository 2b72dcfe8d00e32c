//! HTTP requests to a pod through the API server, because there is no route into the cluster's network.

use kube::Client;

use super::classify;
use crate::task::{ErrorExt, Result};

/// A pod's response to `GET path` on a port number.
///
/// # Errors
/// When the response is not 2xx.
pub async fn get_from_pod(
    client: &Client,
    namespace: &str,
    pod: &str,
    port: &str,
    path: &str,
) -> Result<String> {
    let path = path.trim_start_matches('/');
    let url = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/{path}");
    let request = http::Request::get(url).body(Vec::new())?;
    client
        .request_text(request)
        .await
        .map_err(classify)
        .doing(format!("get `/{path}` of pod `{pod}` through the API server"))
}
