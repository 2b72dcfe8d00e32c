//! The ClusterSecretStore of External Secrets. The application's ExternalSecrets refer to it.

use std::time::Duration;

use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde_json::{Value, json};

use crate::{
    config::major_and_minor,
    kubernetes::{self, By, MANAGER, classify, helm::Stored, ready},
    step::{Class, Context, Error, ErrorExt, Poll, Result},
};

/// The add-on's name.
pub(super) const ADDON: &str = "external-secrets";
const STORE: &str = "aws-secrets-manager";
const GROUP: &str = "external-secrets.io";
/// The only API version that External Secrets 0.17 and later serve.
const VERSION: &str = "v1";

/// Between two reads of the cluster.
const INTERVAL: Duration = Duration::from_secs(2);
/// The operator's webhook gets its certificate, and the operator validates the store, within a minute or two.
const READY_DEADLINE: Duration = Duration::from_mins(4);
/// The operator removes the finalizers one object at a time.
const DELETED_DEADLINE: Duration = Duration::from_mins(4);

fn resource(kind: &str) -> ApiResource {
    kubernetes::kind(GROUP, VERSION, kind)
}

fn wanted(aws_region: &str) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "ClusterSecretStore",
        "metadata": { "name": STORE },
        "spec": { "provider": { "aws": {
            "service": "SecretsManager",
            "region": aws_region,
            "auth": { "jwt": { "serviceAccountRef": { "name": "external-secrets-sa", "namespace": ADDON } } },
        } } },
    })
}

/// Refuses an upgrade that skips 0.16. Only 0.16 serves both versions of the API, and migrates the stored objects.
pub(super) fn refuse_direct_upgrade(stored: Option<&Stored>, wanted: &str) -> Result<()> {
    let Some(stored) = stored else { return Ok(()) };
    let skips = match (major_and_minor(&stored.version), major_and_minor(wanted)) {
        (Some(from), Some(to)) => from < (0, 16) && to > (0, 16),
        _ => false,
    };
    if skips {
        let from = &stored.version;
        let message = format!(
            "External Secrets {from} cannot be upgraded to {wanted} directly: its v1beta1 objects would be lost"
        );
        return Err(Error::msg(Class::Refused, message).with_hint(
            "set `version` of `[addons.external-secrets]` to 0.16.2, run `paydeploy up`, then set the newer version",
        ));
    }
    Ok(())
}

/// The differences of the store, one line each.
pub(super) async fn drift(client: &Client, aws_region: &str, by: By) -> Result<Vec<String>> {
    let found = kubernetes::difference(client, MANAGER, &wanted(aws_region), by).await?;
    match found {
        Some(line) => Ok(vec![line]),
        None => Ok(unready(client).await?.into_iter().collect()),
    }
}

/// Why the store is not ready; `None` if it is.
async fn unready(client: &Client) -> Result<Option<String>> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource("ClusterSecretStore"));
    let doing = format!("read the store `{STORE}`");
    let Some(store) = api.get_opt(STORE).await.map_err(classify).doing(doing)? else {
        return Ok(Some(format!("store `{STORE}` is missing")));
    };
    let why = ready::unmet(&serde_json::to_value(store)?, "Ready");
    Ok(why.map(|why| format!("store `{STORE}`: {why}")))
}

/// Applies the store and waits until it is valid.
pub(super) async fn apply(cx: &Context, client: &Client, aws_region: &str) -> Result<()> {
    let store = wanted(aws_region);
    // The webhook accepts a dry run only when it is running, has its certificate, and the API server trusts it.
    cx.wait("the webhook of External Secrets", INTERVAL, READY_DEADLINE, || async {
        match kubernetes::dry_run(client, MANAGER, &store).await {
            Ok(_) => Ok(Poll::Ready(())),
            Err(error) if error.class == Class::Permanent => Ok(Poll::Pending(error.to_string())),
            Err(error) => Err(error),
        }
    })
    .await?;
    kubernetes::apply(client, MANAGER, &store).await?;
    cx.wait(&format!("store `{STORE}`"), INTERVAL, READY_DEADLINE, || async {
        Ok(unready(client).await?.map_or(Poll::Ready(()), Poll::Pending))
    })
    .await
    .hint("make sure that the service account `external-secrets-sa` can assume a role that can read the secrets")
}

/// Deletes all ExternalSecrets and stores while their operator is running. Without it, their finalizers would block
/// their deletion, and its webhook would reject every other change to them.
pub(super) async fn remove(cx: &Context, client: &Client) -> Result<()> {
    for kind in ["ExternalSecret", "PushSecret", "SecretStore", "ClusterSecretStore"] {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource(kind));
        cx.wait(&format!("the deletion of every {kind}"), INTERVAL, DELETED_DEADLINE, || async {
            let remaining = delete_all(client, &api, &resource(kind)).await?;
            Ok(if remaining == 0 { Poll::Ready(()) } else { Poll::Pending(format!("{remaining} remaining")) })
        })
        .await?;
    }
    Ok(())
}

/// Deletes all objects of a kind; returns how many still existed.
async fn delete_all(client: &Client, all: &Api<DynamicObject>, resource: &ApiResource) -> Result<usize> {
    let list = match all.list(&ListParams::default()).await {
        Ok(list) => list,
        // The kind itself does not exist.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(0),
        Err(error) => return Err(classify(error)),
    };
    for object in &list.items {
        if object.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let api: Api<DynamicObject> = match object.namespace() {
            Some(namespace) => Api::namespaced_with(client.clone(), &namespace, resource),
            None => all.clone(),
        };
        kubernetes::delete(&api, &object.name_any()).await?;
    }
    Ok(list.items.len())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{
        kubernetes::testing::{Call, client},
        step::testing::context,
    };

    const SECRETS: &str = "/apis/external-secrets.io/v1/externalsecrets";
    const SECRET: &str = "/apis/external-secrets.io/v1/namespaces/pay/externalsecrets/db";
    const STORES: &str = "/apis/external-secrets.io/v1/clustersecretstores";

    /// Deletes everything in a cluster with one ExternalSecret and one store, whose operator removes the secret's finalizer
    /// after a number of reads. Returns what came of it, and the calls that mattered.
    async fn removed_from_a_cluster_whose_operator(reads: usize) -> (Result<()>, Vec<String>) {
        let calls = Arc::<Mutex<Vec<String>>>::default();
        let log = calls.clone();
        let (mut reads, mut deleted, mut has_store) = (reads, false, true);
        let client = client(move |call: &Call| {
            let path = call.path.split('?').next().unwrap();
            let list = |items: Value| (200, json!({ "metadata": {}, "items": items }));
            let named = |name: &str| json!([{ "metadata": { "name": name } }]);
            match (call.method.as_str(), path) {
                ("GET", SECRETS) if reads == 0 => {
                    log.lock().unwrap().push("no secret is left".to_owned());
                    list(json!([]))
                }
                ("GET", SECRETS) => {
                    let mut metadata = json!({ "namespace": "pay", "name": "db" });
                    if deleted {
                        metadata["deletionTimestamp"] = json!("2026-11-30T15:00:00Z");
                        reads -= 1;
                    }
                    list(json!([{ "metadata": metadata }]))
                }
                ("GET", STORES) if has_store => list(named(STORE)),
                ("GET", _) => list(json!([])),
                ("DELETE", path) => {
                    (deleted, has_store) = (deleted || path == SECRET, has_store && path == SECRET);
                    log.lock().unwrap().push(format!("DELETE {path}"));
                    (200, json!({ "kind": "Status", "status": "Success" }))
                }
                other => panic!("{other:?}"),
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let (cx, _events) = context(folder.path());
        let removed = remove(&cx, &client).await;
        let calls = calls.lock().unwrap().clone();
        (removed, calls)
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_is_deleted_when_its_operator_has_let_go_of_every_secret() {
        let (removed, calls) = removed_from_a_cluster_whose_operator(5).await;
        removed.unwrap();
        let store = format!("DELETE {STORES}/{STORE}");
        assert_eq!(calls, [&format!("DELETE {SECRET}"), "no secret is left", &store]);
    }

    #[tokio::test(start_paused = true)]
    async fn secrets_that_their_operator_never_lets_go_are_named_and_their_store_remains() {
        let (removed, calls) = removed_from_a_cluster_whose_operator(usize::MAX).await;
        let error = removed.unwrap_err().to_string();
        assert!(
            error.contains("the deletion of every ExternalSecret") && error.contains("1 remaining"),
            "{error}"
        );
        assert_eq!(calls, [format!("DELETE {SECRET}")]);
    }

    #[test]
    fn an_upgrade_that_skips_the_version_with_both_apis_is_refused() {
        let stored = |version: &str| Stored::of_version(version);
        let refused = |from: &str, to: &str| refuse_direct_upgrade(Some(&stored(from)), to).is_err();
        assert!(refused("0.14.4", "0.20.4"));
        assert!(refused("v0.9.0", "1.2.0"));
        assert!(!refused("0.14.4", "0.16.2"));
        assert!(!refused("0.16.2", "0.20.4"));
        assert!(!refused("0.20.4", "1.2.0"));
        assert!(refuse_direct_upgrade(None, "0.20.4").is_ok());
    }
}
