//! An API server or AWS for unit tests: it answers from a function, and records what it was asked.

use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use kube::{Client, client::Body};
use serde_json::{Value, json};

use crate::{
    aws::Aws,
    fact,
    testing::{Response, serve},
};

/// An API server's answer for an object that does not exist.
pub fn missing() -> Value {
    json!({ "kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound" })
}

/// A request.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub body: String,
}

/// A client whose API server is a function. Without a socket to wait for, a test may pause the clock.
pub fn client(answer: impl FnMut(&Call) -> (u16, Value) + Send + 'static) -> Client {
    let answer = Arc::new(Mutex::new(answer));
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let answer = answer.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let call = Call {
                method: head.method.to_string(),
                path: head.uri.to_string(),
                body: String::from_utf8_lossy(&body).into_owned(),
            };
            let (status, body) = (answer.lock().unwrap())(&call);
            let response =
                http::Response::builder().status(status).body(Body::from(body.to_string().into_bytes()));
            Ok::<_, tower::BoxError>(response?)
        }
    });
    Client::new(service, "default")
}

/// How to reach a cluster at an endpoint.
pub fn access(endpoint: &str) -> fact::Access {
    let cluster = fact::Cluster {
        cluster_name: "payments-spain".to_owned(),
        cluster_endpoint: endpoint.to_owned(),
        cluster_ca: String::new(),
        external_secrets_role_arn: String::new(),
        external_dns_role_arn: String::new(),
        lb_controller_role_arn: String::new(),
        argocd_role_arn: "arn:aws:iam::123456789012:role/argocd".to_owned(),
    };
    fact::Access { cluster, aws_region: "eu-south-2".to_owned() }
}

/// A running server; it ends with the test's runtime.
pub struct Server {
    pub endpoint: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Server {
    /// Starts a server whose answers are a status and a body.
    pub async fn start(answer: impl Fn(&Call) -> (u16, Value) + Send + 'static) -> Self {
        let calls = Arc::<Mutex<Vec<Call>>>::default();
        let record = calls.clone();
        let address = serve(move |request| {
            let call = Call {
                method: request.method.clone(),
                path: request.path.clone(),
                body: String::from_utf8_lossy(&request.body).into_owned(),
            };
            let (status, body) = answer(&call);
            record.lock().unwrap().push(call);
            // A string is sent as it is, for the services that answer in XML.
            let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
            Response::new(status, body).with("content-type", "application/json")
        })
        .await;
        let endpoint = format!("http://{address}");
        Self { endpoint, calls }
    }

    /// A server that has these objects, by their paths without a query, and no other. It accepts every change.
    pub async fn with(objects: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let objects: Vec<_> = objects.into_iter().collect();
        Self::start(move |call| {
            let found = objects.iter().find(|(path, _)| call.path.split('?').next() == Some(path));
            match (call.method.as_str(), found) {
                ("GET", None) => (404, missing()),
                ("GET", Some((_, object))) => (200, object.clone()),
                ("DELETE", _) => (200, json!({ "kind": "Status", "status": "Success" })),
                _ => (200, serde_json::from_str(&call.body).unwrap_or_default()),
            }
        })
        .await
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// The methods and paths of the calls so far, without queries.
    pub fn asked(&self) -> Vec<String> {
        let named =
            |call: &Call| format!("{} {}", call.method, call.path.split('?').next().unwrap_or_default());
        self.calls().iter().map(named).collect()
    }

    /// A client of it as an API server.
    pub fn client(&self) -> Client {
        Client::try_from(kube::Config::new(self.endpoint.parse().unwrap())).unwrap()
    }

    /// How to reach it as a region's cluster.
    pub fn access(&self) -> fact::Access {
        access(&self.endpoint)
    }

    /// AWS at this server, with credentials.
    pub fn aws(&self) -> Aws {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-south-2"))
            .endpoint_url(&self.endpoint)
            .credentials_provider(SharedCredentialsProvider::new(credentials));
        Aws::new(config.build())
    }
}
