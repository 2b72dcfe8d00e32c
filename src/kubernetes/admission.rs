//! Tells a refusal that passes by itself from one that lasts.
//!
//! A new access entry takes minutes to reach every API server of its cluster, which answers 401 until then, or 403 until
//! the entry's policy arrives too. So a refusal is transient while this principal's entry or one of its policies is new,
//! and permanent afterwards, when a retry would only hide that a right is missing. A policy can be new although its entry
//! is old: an apply that died between the two left an entry without rights. An entry can only be created after its
//! cluster is ACTIVE, so its age covers a new cluster as well. EKS is asked only after a refusal.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use kube::client::Body;
use tower::{BoxError, Layer, Service};

use super::bearer::{Carried, Signer};
use crate::{
    aws::{self, identity::Principal},
    task::{Class, Error, ErrorExt, Result},
};

/// The time after which an entry is in effect everywhere: eksctl and the EKS modules for Terraform wait as long.
const SETTLED_AFTER: Duration = Duration::from_mins(5);

#[derive(Clone)]
pub(super) struct AdmissionLayer(pub Arc<Signer>);

impl<S> Layer<S> for AdmissionLayer {
    type Service = Admission<S>;

    fn layer(&self, inner: S) -> Admission<S> {
        Admission { inner, signer: self.0.clone() }
    }
}

pub(super) struct Admission<S> {
    inner: S,
    signer: Arc<Signer>,
}

impl<S, B> Service<Request<Body>> for Admission<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (answer, signer) = (self.inner.call(request), self.signer.clone());
        Box::pin(async move {
            let answer = answer.await?;
            let status = answer.status();
            if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                return Ok(answer);
            }
            match signer.is_settling().await {
                Ok(true) => {
                    let cluster = &signer.cluster;
                    let error =
                        format!("cluster `{cluster}` does not apply its new access entry yet ({status})");
                    Err(Carried::from(Error::transient(error)).into())
                }
                Err(error) if error.class == Class::Transient => Err(Carried::from(error).into()),
                // Without a right to read the entry, or without an entry, the API server's own answer says the most.
                _ => Ok(answer),
            }
        })
    }
}

/// A time in the future counts as new: this machine's clock is behind.
fn is_new(changed: SystemTime, now: SystemTime) -> bool {
    now.duration_since(changed).map_or(true, |age| age < SETTLED_AFTER)
}

impl Signer {
    /// Whether a refusal may pass by itself: this principal's access entry or one of its policies is new.
    pub(super) async fn is_settling(&self) -> Result<bool> {
        let principal = match aws::identity::identity(&self.aws).await?.principal {
            Principal::Role(arn) | Principal::User(arn) => arn,
            Principal::Other(_) => return Ok(false),
        };
        let Some(entry) = self.entry_changed(&principal).await? else { return Ok(false) };
        let now = SystemTime::now();
        if is_new(entry, now) {
            return Ok(true);
        }
        Ok(self.policy_changed(&principal).await?.is_some_and(|policy| is_new(policy, now)))
    }

    /// When a principal's access entry was created or last changed; `None` if it does not exist.
    async fn entry_changed(&self, principal: &str) -> Result<Option<SystemTime>> {
        let eks = aws_sdk_eks::Client::new(&self.aws);
        let describe = eks.describe_access_entry().cluster_name(&self.cluster).principal_arn(principal);
        let entry = match describe.send().await {
            Ok(described) => described.access_entry,
            Err(error) if aws::is_missing(&error) => None,
            Err(error) => return Err(aws::classify(error)).doing("read this principal's access entry"),
        };
        let changed = entry.and_then(|entry| entry.created_at.max(entry.modified_at));
        Ok(changed.and_then(|time| SystemTime::try_from(time).ok()))
    }

    /// When the newest policy of a principal's access entry was associated or last changed. The entry's own times do
    /// not tell.
    async fn policy_changed(&self, principal: &str) -> Result<Option<SystemTime>> {
        let eks = aws_sdk_eks::Client::new(&self.aws);
        let list = eks.list_associated_access_policies().cluster_name(&self.cluster).principal_arn(principal);
        let policies = list.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
        let policies =
            policies.map_err(aws::classify).doing("read the policies of this principal's access entry")?;
        let newest =
            policies.into_iter().filter_map(|policy| policy.associated_at.max(policy.modified_at)).max();
        Ok(newest.and_then(|time| SystemTime::try_from(time).ok()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubernetes::{classify, connect, testing::Server};

    const CALLER: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult>\
        <Arn>arn:aws:iam::123456789012:user/ana</Arn><Account>123456789012</Account>\
        </GetCallerIdentityResult></GetCallerIdentityResponse>";

    const OLD: Duration = Duration::from_mins(6);

    /// The error of a request that the API server refuses. The caller's access entry has changed that long ago.
    async fn refused(status: u16, entry: Option<Duration>) -> Error {
        refused_with(status, entry, OLD).await
    }

    /// The same for an entry whose policy was associated that long ago.
    async fn refused_with(status: u16, entry: Option<Duration>, policy: Duration) -> Error {
        let server = Server::start(move |call| match (call.path.as_str(), entry) {
            ("/", _) => (200, json!(CALLER)),
            (path, Some(_)) if path.ends_with("/access-policies") => {
                let associated = jiff::Timestamp::now() - policy;
                let policy = json!({ "associatedAt": associated.as_second() });
                (200, json!({ "associatedAccessPolicies": [policy] }))
            }
            (path, Some(age)) if path.starts_with("/clusters/payments-spain/access-entries/") => {
                let changed = jiff::Timestamp::now() - age;
                let entry = json!({ "createdAt": 1_750_000_000, "modifiedAt": changed.as_second() });
                (200, json!({ "accessEntry": entry }))
            }
            (path, None) if path.starts_with("/clusters/") => {
                (404, json!({ "__type": "ResourceNotFoundException", "message": "no such entry" }))
            }
            _ => (status, json!({ "kind": "Status", "status": "Failure", "code": status, "message": "no" })),
        })
        .await;
        let client = connect(&server.aws(), &server.access()).await.unwrap();
        classify(client.apiserver_version().await.unwrap_err())
    }

    #[tokio::test]
    async fn a_refusal_is_transient_while_the_access_entry_is_new() {
        for status in [401, 403] {
            let error = refused(status, Some(Duration::from_mins(1))).await;
            assert_eq!(error.class, Class::Transient, "{status}: {error}");
            assert!(error.to_string().contains("new access entry"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_refusal_is_transient_while_the_policy_of_an_older_entry_is_new() {
        let error = refused_with(403, Some(OLD), Duration::from_mins(1)).await;
        assert_eq!(error.class, Class::Transient, "{error}");
    }

    #[tokio::test]
    async fn a_refusal_with_an_older_entry_or_without_one_is_permanent_and_has_a_fix() {
        for (status, entry) in [(401, Some(OLD)), (403, Some(OLD)), (401, None)] {
            let error = refused(status, entry).await;
            assert_eq!(
                (error.class, error.to_string().as_str()),
                (Class::Permanent, "no"),
                "{status} {entry:?}"
            );
            assert!(error.hint.is_some_and(|hint| hint.contains("access entry")));
        }
    }

    #[tokio::test]
    async fn another_error_is_passed_on_without_asking_eks() {
        assert_eq!(refused(404, None).await.to_string(), "no");
    }

    #[test]
    fn an_entry_is_new_for_five_minutes() {
        let changed = SystemTime::UNIX_EPOCH + Duration::from_hours(1);
        assert!(is_new(changed, changed + Duration::from_secs(299)));
        assert!(!is_new(changed, changed + Duration::from_secs(300)));
        assert!(is_new(changed, changed - Duration::from_secs(9)), "a clock that is behind");
    }
}
