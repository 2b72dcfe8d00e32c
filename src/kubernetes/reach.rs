//! Whether a teardown can use a cluster's API.
//!
//! A cluster that does not answer must not stop a teardown: it may have been deleted by hand, its endpoint may not
//! admit this machine, or its creation may have died before this principal got access. Then its objects are deleted
//! with the cluster itself, and what they created in AWS is found by its tags.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_eks::{
    operation::create_access_entry::CreateAccessEntryError,
    types::{AccessScope, AccessScopeType},
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, api::ListParams};
use tokio::sync::OnceCell;

use super::{bearer::Signer, classify, connect, find};
use crate::{
    aws::{
        self, Aws,
        identity::{Principal, identity},
        partition,
    },
    fact,
    task::{Class, ErrorExt, Place, Poll, Result, Task},
};

/// Between two requests.
const INTERVAL: Duration = Duration::from_secs(2);
/// An API server that is up answers within a second. Beyond this, its endpoint does not resolve or does not admit this
/// machine.
const DEADLINE: Duration = Duration::from_secs(30);
/// A new access entry is in effect at every API server within this time.
const ADMITTED_DEADLINE: Duration = Duration::from_mins(2);

/// A cluster as a teardown finds it.
#[derive(Clone)]
#[allow(clippy::large_enum_variant)] // There is one per cluster, and it is nearly always open.
pub enum Reach {
    /// It does not exist, or is being created or deleted: nothing can be deployed in it.
    Absent,
    /// It exists, but its API cannot be used, for this reason.
    Closed(String),
    Open(Open),
}

/// A cluster whose API answers.
#[derive(Clone)]
pub struct Open {
    pub access: fact::Access,
    pub client: Client,
}

impl Reach {
    /// The cluster, if its API answers.
    pub fn open(self) -> Option<Open> {
        match self {
            Self::Open(open) => Some(open),
            Self::Absent | Self::Closed(_) => None,
        }
    }
}

/// The clusters that were asked in this run: all steps of a teardown get the same answer, and none waits again.
#[derive(Default)]
pub struct Reached(Mutex<BTreeMap<String, Arc<OnceCell<Reach>>>>);

impl Reached {
    /// The cluster of a name in an AWS region.
    ///
    /// # Errors
    /// When AWS cannot be asked for the cluster.
    pub async fn cluster(&self, task: &Task, aws: &Aws, aws_region: &str, name: &str) -> Result<Reach> {
        let cell = {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(name.to_owned()).or_default().clone()
        };
        cell.get_or_try_init(|| reach(task, aws, aws_region, name)).await.cloned()
    }
}

async fn reach(task: &Task, aws: &Aws, aws_region: &str, name: &str) -> Result<Reach> {
    let Some(access) = find(aws, aws_region, name).await? else { return Ok(Reach::Absent) };
    let client = match connect(aws, &access).await {
        Ok(client) => client,
        // Its certificate is damaged, for instance.
        Err(error) => return Ok(closed(task, name, &error.to_string())),
    };
    let answer = ask(task, &client, aws_region, name, DEADLINE).await?;
    let answer = match answer {
        Answer::Unknown => match admit(aws, aws_region, name).await {
            Ok(true) => ask_until_admitted(task, &client, aws_region, name).await?,
            Ok(false) => Answer::Unknown,
            // It says nothing about the cluster, and passes.
            Err(error) if matches!(error.class, Class::Transient | Class::Cancelled) => return Err(error),
            Err(error) => {
                Answer::Closed(format!("failed to create an access entry for this principal: {error}"))
            }
        },
        // The entry of an `up` that was interrupted minutes ago: such a refusal passes by itself (`admission`).
        Answer::Closed(_) if Signer::new(aws, &access).is_settling().await.unwrap_or(false) => {
            ask_until_admitted(task, &client, aws_region, name).await?
        }
        other => other,
    };
    Ok(match answer {
        Answer::Admitted => Reach::Open(Open { access, client }),
        Answer::Unknown => closed(task, name, "it does not know this IAM principal"),
        Answer::Closed(why) => closed(task, name, &why),
    })
}

fn closed(task: &Task, name: &str, why: &str) -> Reach {
    task.warn(
        format!("cluster `{name}` cannot be used: {why}"),
        "none needed: its objects are deleted with it, and what it created in AWS is found by its tags",
    );
    Reach::Closed(why.to_owned())
}

enum Answer {
    Admitted,
    /// 401: the cluster has no access entry for this principal, or not yet.
    Unknown,
    /// It does not answer, or answers 403.
    Closed(String),
}

/// Lists namespaces, which needs a connection, an access entry and permissions.
async fn ask(
    task: &Task,
    client: &Client,
    aws_region: &str,
    name: &str,
    deadline: Duration,
) -> Result<Answer> {
    let api: Api<Namespace> = Api::all(client.clone());
    let what = format!("cluster `{name}` to answer");
    let asked = task.wait(&what, INTERVAL, deadline, || async {
        // An error, unlike below: it says nothing about the cluster, and passes.
        task.fence.pass(Place::Aws(aws_region))?;
        match api.list_metadata(&ListParams::default().limit(1)).await {
            Ok(_) => Ok(Poll::Ready(Answer::Admitted)),
            Err(kube::Error::Api(status)) if status.code == 401 => Ok(Poll::Ready(Answer::Unknown)),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                Ok(Poll::Ready(Answer::Closed(format!("forbidden: {}", status.message))))
            }
            // Not an error for `wait`, which would wait ten minutes longer for an API that may never answer again.
            Err(error) => match classify(error) {
                error if error.class == Class::Transient => Ok(Poll::Pending(error.to_string())),
                error => Err(error),
            },
        }
    });
    match asked.await {
        Err(error) if error.class == Class::Cancelled => Err(error),
        Err(error) => task.fence.pass(Place::Aws(aws_region)).map(|()| Answer::Closed(error.to_string())),
        Ok(answer) => Ok(answer),
    }
}

async fn ask_until_admitted(task: &Task, client: &Client, aws_region: &str, name: &str) -> Result<Answer> {
    let what = format!("cluster `{name}` to admit this principal");
    let asked = task.wait(&what, INTERVAL, ADMITTED_DEADLINE, || async {
        match ask(task, client, aws_region, name, ADMITTED_DEADLINE).await? {
            Answer::Unknown => Ok(Poll::Pending("401 Unauthorized".to_owned())),
            other => Ok(Poll::Ready(other)),
        }
    });
    match asked.await {
        Err(error) if error.class == Class::Cancelled => Err(error),
        Err(error) => task.fence.pass(Place::Aws(aws_region)).map(|()| Answer::Closed(error.to_string())),
        Ok(answer) => Ok(answer),
    }
}

/// Creates the access entry that `up` creates for the principal that runs it. Returns whether there is one now.
async fn admit(aws: &Aws, aws_region: &str, cluster: &str) -> Result<bool> {
    let config = aws.in_region(aws_region);
    let arn = match identity(&config).await?.principal {
        Principal::User(arn) | Principal::Role(arn) => arn,
        Principal::Other(_) => return Ok(false),
    };
    let eks = aws_sdk_eks::Client::new(&config);
    let doing = || format!("give `{arn}` access to cluster `{cluster}`");
    match eks.create_access_entry().cluster_name(cluster).principal_arn(&arn).send().await {
        Ok(_) => {}
        Err(error)
            if error.as_service_error().is_some_and(CreateAccessEntryError::is_resource_in_use_exception) => {
        }
        Err(error) => return Err(aws::classify(error)).doing(doing()),
    }
    let policy =
        format!("arn:{}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy", partition(aws_region));
    let scope = AccessScope::builder().r#type(AccessScopeType::Cluster).build();
    let associate = eks.associate_access_policy().cluster_name(cluster).principal_arn(&arn);
    let associated = associate.policy_arn(policy).access_scope(scope).send().await;
    associated.map_err(aws::classify).doing(doing())?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        kubernetes::testing::{Call, Server},
        task::testing,
    };

    /// AWS and the API server of the cluster `payments-spain` in one.
    struct Cluster {
        server: Server,
        dir: tempfile::TempDir,
    }

    impl Cluster {
        /// The API server refuses with `status` until this principal's access entry has a policy.
        async fn that_refuses(status: u16) -> Self {
            let (endpoint, admitted) = (Arc::<OnceLock<String>>::default(), OnceLock::new());
            let known = endpoint.clone();
            let answer = move |call: &Call| match (call.method.as_str(), call.path.as_str()) {
                ("POST", "/") => (200, json!(CALLER)),
                ("GET", "/clusters/payments-spain") => {
                    let ca = json!({ "data": "" });
                    let cluster =
                        json!({ "status": "ACTIVE", "endpoint": known.get(), "certificateAuthority": ca });
                    (200, json!({ "cluster": cluster }))
                }
                ("GET", path) if path.starts_with("/clusters/") => {
                    (404, json!({ "__type": "ResourceNotFoundException", "message": "no such entry" }))
                }
                ("POST", path) => {
                    if path.ends_with("/access-policies") {
                        admitted.get_or_init(|| ());
                    }
                    (200, json!({}))
                }
                _ if admitted.get().is_some() => (200, json!({ "metadata": {}, "items": [] })),
                _ => (
                    status,
                    json!({ "kind": "Status", "status": "Failure", "code": status, "message": "no" }),
                ),
            };
            let server = Server::start(answer).await;
            endpoint.set(server.endpoint.clone()).unwrap();
            Self { server, dir: tempfile::tempdir().unwrap() }
        }

        async fn reach(&self) -> Reach {
            let (task, _events) = testing::task(self.dir.path());
            reach(&task, &self.server.aws(), "eu-south-2", "payments-spain").await.unwrap()
        }

        /// The bodies of the calls that changed something in EKS.
        fn changes(&self) -> Vec<Value> {
            let calls = self.server.calls().into_iter();
            let changes = calls.filter(|call| call.method == "POST" && call.path.starts_with("/clusters/"));
            changes.map(|call| serde_json::from_str(&call.body).unwrap()).collect()
        }
    }

    const CALLER: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult>\
        <Arn>arn:aws:iam::123456789012:user/ana</Arn><Account>123456789012</Account>\
        </GetCallerIdentityResult></GetCallerIdentityResponse>";

    #[tokio::test]
    async fn a_cluster_that_does_not_know_this_principal_is_used_with_an_access_entry_of_its_own() {
        let cluster = Cluster::that_refuses(401).await;
        assert!(matches!(cluster.reach().await, Reach::Open(_)));
        let changes = cluster.changes();
        assert_eq!(changes[0]["principalArn"], "arn:aws:iam::123456789012:user/ana");
        let administrator = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy";
        assert_eq!((changes.len(), &changes[1]["policyArn"]), (2, &json!(administrator)));
    }

    #[tokio::test]
    async fn a_cluster_that_knows_this_principal_and_forbids_is_closed_and_gives_it_no_rights() {
        let cluster = Cluster::that_refuses(403).await;
        assert!(matches!(cluster.reach().await, Reach::Closed(why) if why == "forbidden: no"));
        assert_eq!(cluster.changes(), Vec::<Value>::new());
    }

    #[tokio::test]
    async fn a_cluster_that_does_not_answer_is_closed_and_not_an_error() {
        let uri = "http://127.0.0.1:1".parse().unwrap();
        let client = Client::try_from(kube::Config::new(uri)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        // One attempt: the next one would be after the deadline.
        let answer =
            ask(&task, &client, "eu-south-2", "payments-spain", Duration::from_secs(1)).await.unwrap();
        assert!(matches!(answer, Answer::Closed(why) if why.contains("timed out")));
    }
}
