//! Deletes the objects of a cluster for which the AWS Load Balancer Controller creates load balancers.
//!
//! 1. All of them are deleted. The controller deletes what it created in AWS, then its finalizers.
//! 2. Without the controller nobody does that, and the objects remain. Only with `force` are load balancers, target
//!    groups and security groups then deleted by their tags, and after that the finalizers: in the other order the
//!    objects would be gone and their security groups would block the network.

use std::{fmt, time::Duration};

use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
};

use super::{classify, delete, kind, strip_finalizers};
use crate::{
    aws::{Aws, balancers},
    task::{Class, Error, ErrorExt, Poll, Result, Task},
};

/// Between two reads of the cluster and of AWS.
const INTERVAL: Duration = Duration::from_secs(3);
/// A load balancer deregisters its targets (5 minutes by default) before it is deleted.
const DELETED_DEADLINE: Duration = Duration::from_mins(10);
/// With `force`: enough for a controller that works.
const FORCED_DEADLINE: Duration = Duration::from_mins(1);

/// What is deleted, and where.
pub struct Balanced<'a> {
    pub client: &'a Client,
    /// `None`: all of the cluster.
    pub namespace: Option<&'a str>,
    pub aws_region: &'a str,
    pub cluster: &'a str,
    /// Whether the controller is installed.
    pub is_controlled: bool,
    pub force: bool,
}

/// An object for which the controller creates a load balancer, or registers targets.
struct User {
    kind: ApiResource,
    object: DynamicObject,
}

impl User {
    fn title(&self) -> String {
        let namespace = self.object.namespace().unwrap_or_default();
        format!("{} {namespace}/{}", self.kind.kind, self.object.name_any())
    }
}

/// With the finalizers that hold it.
impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title())?;
        match self.object.finalizers() {
            [] => Ok(()),
            finalizers => write!(f, " (finalizer {})", finalizers.join(", ")),
        }
    }
}

impl Balanced<'_> {
    /// Deletes the objects, and waits until they and, with the whole cluster, its load balancers are deleted. Returns
    /// their names.
    ///
    /// # Errors
    /// When something remains. Names each object, its finalizer and the flag that removes it.
    pub async fn remove(&self, task: &Task, aws: &Aws) -> Result<Vec<String>> {
        let users = self.users().await?;
        for user in &users {
            delete(&self.api(user), &user.object.name_any()).await?;
        }
        let mut names: Vec<String> = users.iter().map(User::title).collect();
        match self.wait(task, aws).await {
            Ok(()) => Ok(names),
            Err(error) if error.class == Class::Permanent && self.force => {
                task.warn(error.to_string(), "none needed: `--force` deletes it");
                names.extend(balancers::sweep(task, aws, self.aws_region, self.cluster).await?);
                for user in self.users().await? {
                    strip_finalizers(&self.api(&user), &user.object.name_any()).await?;
                }
                Ok(names)
            }
            Err(error) => Err(error).hint(
                "make sure that the load balancer controller runs in the cluster, or run the same command with \
                 `--force`: it deletes the load balancers by their tags, then the finalizers",
            ),
        }
    }

    async fn wait(&self, task: &Task, aws: &Aws) -> Result<()> {
        let deadline = if self.force { FORCED_DEADLINE } else { DELETED_DEADLINE };
        task.wait("the deletion of every Ingress, Gateway and load balancer", INTERVAL, deadline, || async {
            let mut remaining: Vec<String> = self.users().await?.iter().map(ToString::to_string).collect();
            if !self.is_controlled && !remaining.is_empty() {
                let remaining = remaining.join(", ");
                return Err(Error::permanent(format!("no load balancer controller deletes {remaining}")));
            }
            if !self.is_controlled && self.namespace.is_none() {
                balancers::sweep(task, aws, self.aws_region, self.cluster).await?;
            }
            if remaining.is_empty() && self.namespace.is_none() {
                remaining = balancers::of_cluster(aws, self.aws_region, self.cluster).await?.names();
            }
            Ok(if remaining.is_empty() { Poll::Ready(()) } else { Poll::Pending(remaining.join(", ")) })
        })
        .await
    }

    fn api(&self, user: &User) -> Api<DynamicObject> {
        let namespace = user.object.namespace().unwrap_or_default();
        Api::namespaced_with(self.client.clone(), &namespace, &user.kind)
    }

    async fn users(&self) -> Result<Vec<User>> {
        let mut users = Vec::new();
        // Routes come first: the controller keeps a Gateway as long as a route is attached to it.
        for kind in [
            kind("gateway.networking.k8s.io", "v1", "HTTPRoute"),
            kind("gateway.networking.k8s.io", "v1", "GRPCRoute"),
            kind("gateway.networking.k8s.io", "v1alpha2", "TCPRoute"),
            kind("gateway.networking.k8s.io", "v1alpha2", "TLSRoute"),
            kind("gateway.networking.k8s.io", "v1alpha2", "UDPRoute"),
            kind("networking.k8s.io", "v1", "Ingress"),
            kind("", "v1", "Service"),
            kind("gateway.networking.k8s.io", "v1", "Gateway"),
            kind("elbv2.k8s.aws", "v1beta1", "TargetGroupBinding"),
        ] {
            let api: Api<DynamicObject> = match self.namespace {
                Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind),
                None => Api::all_with(self.client.clone(), &kind),
            };
            let found = match api.list(&ListParams::default()).await {
                Ok(found) => found.items,
                // The controller's own kinds are deleted with it, and those of the Gateway API are rarely installed.
                Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
                Err(error) => return Err(classify(error)).doing(format!("list every {}", kind.kind)),
            };
            let is_balanced = |object: &DynamicObject| {
                kind.kind != "Service" || object.data["spec"]["type"] == "LoadBalancer"
            };
            let found = found.into_iter().filter(is_balanced);
            users.extend(found.map(|object| User { kind: kind.clone(), object }));
        }
        Ok(users)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        kubernetes::testing::{Call, Server},
        task::testing,
    };

    const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/pay/ingresses";
    const GATEWAYS: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/pay/gateways";

    /// AWS without load balancers, and a cluster with one object in a list, whose controller is not installed.
    async fn uncontrolled(list: &'static str, finalizer: &'static str) -> Server {
        Server::start(move |call: &Call| match (call.method.as_str(), call.path.split('?').next().unwrap()) {
            ("POST", "/") => {
                let action =
                    call.body.strip_prefix("Action=").and_then(|rest| rest.split('&').next()).unwrap();
                (200, json!(format!("<{action}Response><{action}Result/></{action}Response>")))
            }
            ("GET", path) if path == list => {
                let metadata = json!({ "namespace": "pay", "name": "api", "finalizers": [finalizer] });
                (200, json!({ "metadata": {}, "items": [{ "metadata": metadata }] }))
            }
            ("GET", path) if path.contains(".k8s.aws/") || path.contains("/gateway.") => {
                (404, json!("not served"))
            }
            ("GET", _) => (200, json!({ "metadata": {}, "items": [] })),
            (_, path) if path == format!("{list}/api") => {
                (200, json!({ "metadata": { "namespace": "pay", "name": "api" } }))
            }
            _ => (500, json!("unexpected")),
        })
        .await
    }

    async fn remove(server: &Server, force: bool) -> Result<Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let client = server.client();
        let balanced = Balanced {
            client: &client,
            namespace: Some("pay"),
            aws_region: "eu-south-2",
            cluster: "payments-spain",
            is_controlled: false,
            force,
        };
        balanced.remove(&task, &server.aws()).await
    }

    #[tokio::test]
    async fn what_no_controller_deletes_is_named_with_its_finalizer_and_the_flag_that_removes_it() {
        for (list, kind, finalizer) in [
            (INGRESSES, "Ingress", "ingress.k8s.aws/resources"),
            (GATEWAYS, "Gateway", "gateway.k8s.aws/alb"),
        ] {
            let server = uncontrolled(list, finalizer).await;
            let error = remove(&server, false).await.unwrap_err();
            let named = format!("{kind} pay/api (finalizer {finalizer})");
            let expected = format!("no load balancer controller deletes {named}");
            assert!(error.to_string().contains(&expected), "{error}");
            assert!(error.hint.unwrap().contains("--force"));
            assert!(!server.asked().contains(&format!("PATCH {list}/api")));
        }
    }

    #[tokio::test]
    async fn with_force_finalizers_are_removed_after_what_they_protect_is_looked_for_in_aws() {
        let server = uncontrolled(INGRESSES, "ingress.k8s.aws/resources").await;
        assert_eq!(remove(&server, true).await.unwrap(), ["Ingress pay/api"]);
        let asked = server.asked();
        let last = |call: &str| asked.iter().rposition(|one| one == call).expect(call);
        assert!(last("POST /") < last(&format!("PATCH {INGRESSES}/api")), "{asked:?}");
        let patch = server.calls().into_iter().find(|call| call.method == "PATCH").unwrap();
        assert_eq!(patch.body, r#"{"metadata":{"finalizers":null}}"#);
    }

    #[test]
    fn an_object_is_named_with_the_finalizer_that_holds_it() {
        let object = |finalizers: &[&str]| -> DynamicObject {
            let metadata = json!({ "namespace": "pay", "name": "api", "finalizers": finalizers });
            serde_json::from_value(json!({ "metadata": metadata })).unwrap()
        };
        let ingress = |finalizers: &[&str]| {
            User { kind: kind("networking.k8s.io", "v1", "Ingress"), object: object(finalizers) }.to_string()
        };
        assert_eq!(ingress(&[]), "Ingress pay/api");
        assert_eq!(
            ingress(&["ingress.k8s.aws/resources"]),
            "Ingress pay/api (finalizer ingress.k8s.aws/resources)"
        );
    }
}
