//! Whose a namespace is. Deleting one deletes everything in it, so only a namespace that paydeploy has created for this
//! project is deleted, and its mark says so.
//!
//! - A namespace that does not exist yet is created with the mark.
//! - One that exists keeps what it has: an existing namespace that a team names in `gitops.namespace` is never marked.
//! - Namespaces of versions before the mark are adopted if the API server's own records show that nothing but paydeploy
//!   has ever set a field of them.

use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client, core::PartialObjectMeta};
use serde_json::Value;

use super::{MANAGER, classify, delete};
use crate::task::{ErrorExt, Result};

/// The label with the project that created a namespace.
const MARK: &str = "paydeploy.io/created-by";

/// The result of a deletion.
#[derive(Debug, PartialEq, Eq)]
pub enum Deletion {
    Missing,
    Deleted,
    /// It is not this project's.
    Kept,
}

async fn read(client: &Client, name: &str) -> Result<Option<PartialObjectMeta<Namespace>>> {
    let api: Api<Namespace> = Api::all(client.clone());
    api.get_metadata_opt(name).await.map_err(classify).doing(format!("read namespace `{name}`"))
}

/// Adds the mark to a namespace that is about to be applied, if it is this project's or does not exist.
pub async fn mark(client: &Client, wanted: &mut Value, project: &str) -> Result<()> {
    let name = wanted["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let live = read(client, &name).await?;
    if live.is_none_or(|live| is_of(&live.metadata, project) || is_unmarked_and_ours(&live.metadata)) {
        wanted["metadata"]["labels"][MARK] = project.into();
    }
    Ok(())
}

/// Deletes a namespace with the project's mark.
pub async fn delete_marked(client: &Client, name: &str, project: &str) -> Result<Deletion> {
    let Some(live) = read(client, name).await? else { return Ok(Deletion::Missing) };
    if !is_of(&live.metadata, project) {
        return Ok(Deletion::Kept);
    }
    let api: Api<Namespace> = Api::all(client.clone());
    Ok(if delete(&api, name).await? { Deletion::Deleted } else { Deletion::Missing })
}

fn is_of(live: &ObjectMeta, project: &str) -> bool {
    live.labels.as_ref().and_then(|labels| labels.get(MARK)).is_some_and(|owner| owner == project)
}

/// Whether a version before the mark created it. The API server lists everyone else who creates or changes a namespace as
/// a manager of its fields. The managers of subresources are the API server's own controllers.
fn is_unmarked_and_ours(live: &ObjectMeta) -> bool {
    let is_marked = live.labels.as_ref().is_some_and(|labels| labels.contains_key(MARK));
    let managers = live.managed_fields.iter().flatten().filter(|entry| entry.subresource.is_none());
    let mut managers = managers.map(|entry| entry.manager.as_deref()).peekable();
    !is_marked && managers.peek().is_some() && managers.all(|manager| manager == Some(MANAGER))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubernetes::testing::Server;

    const PATH: &str = "/api/v1/namespaces/pay";

    fn namespace(owner: Option<&str>, managers: &[&str]) -> Value {
        let entry = |manager: &&str| json!({ "manager": manager, "operation": "Apply", "apiVersion": "v1" });
        let mut namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": { "name": "pay", "labels": {}, "managedFields": managers.iter().map(entry).collect::<Vec<_>>() },
        });
        if let Some(owner) = owner {
            namespace["metadata"]["labels"][MARK] = owner.into();
        }
        namespace
    }

    async fn server(live: Option<Value>) -> Server {
        Server::with(live.map(|live| (PATH, live))).await
    }

    /// Whether a namespace is applied with the mark.
    async fn is_marked(live: Option<Value>) -> bool {
        let mut wanted = json!({ "metadata": { "name": "pay", "labels": { "a": "b" } } });
        mark(&server(live).await.client(), &mut wanted, "payments").await.unwrap();
        wanted["metadata"]["labels"][MARK] == "payments"
    }

    #[tokio::test]
    async fn a_namespace_is_marked_when_it_is_created_and_keeps_its_mark() {
        assert!(is_marked(None).await);
        assert!(is_marked(Some(namespace(Some("payments"), &["paydeploy", "kubectl-label"]))).await);
    }

    #[tokio::test]
    async fn a_namespace_of_an_earlier_version_is_adopted_and_any_other_is_not() {
        assert!(is_marked(Some(namespace(None, &["paydeploy"]))).await);
        assert!(!is_marked(Some(namespace(None, &["paydeploy", "kubectl-create"]))).await);
        assert!(!is_marked(Some(namespace(None, &[]))).await);
        assert!(!is_marked(Some(namespace(Some("another"), &["paydeploy"]))).await);
    }

    #[tokio::test]
    async fn the_controllers_of_the_api_server_do_not_prevent_an_adoption() {
        let mut live = namespace(None, &["paydeploy", "kube-controller-manager"]);
        live["metadata"]["managedFields"][1]["subresource"] = json!("status");
        assert!(is_marked(Some(live)).await);
    }

    #[tokio::test]
    async fn only_a_namespace_with_the_projects_mark_is_deleted() {
        for (live, expected) in [
            (None, Deletion::Missing),
            (Some(namespace(Some("payments"), &[])), Deletion::Deleted),
            (Some(namespace(None, &["paydeploy"])), Deletion::Kept),
            (Some(namespace(Some("another"), &[])), Deletion::Kept),
        ] {
            let server = server(live).await;
            let deletion = delete_marked(&server.client(), "pay", "payments").await.unwrap();
            let is_asked = server.asked().iter().any(|call| *call == format!("DELETE {PATH}"));
            assert_eq!(is_asked, expected == Deletion::Deleted);
            assert_eq!(deletion, expected);
        }
    }
}
