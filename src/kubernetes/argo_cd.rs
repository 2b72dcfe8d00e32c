//! Argo CD's kinds on the hub, as the phases `argocd` and `apps` use them.

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams},
};

use super::{classify, kind};
use crate::task::{Error, ErrorExt, Result};

/// Where Argo CD runs on the hub, as its own documentation has it.
pub const NAMESPACE: &str = "argocd";

/// One of Argo CD's kinds: `Application`, `ApplicationSet`, `AppProject`.
pub fn resource(name: &str) -> ApiResource {
    kind("argoproj.io", "v1alpha1", name)
}

/// The Applications on the hub; none where Argo CD's kinds do not exist.
async fn applications(hub: &Client) -> Result<Vec<DynamicObject>> {
    let api: Api<DynamicObject> = Api::namespaced_with(hub.clone(), NAMESPACE, &resource("Application"));
    match api.list(&ListParams::default()).await {
        Ok(all) => Ok(all.items),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(classify(error)).doing("list the Applications on the hub"),
    }
}

/// Refuses to delete what Applications depend on: Argo CD itself, or with `project` that project.
///
/// Without Argo CD, an Application's finalizer and all it deployed would remain permanently; without its project
/// it can be neither synced nor deleted.
///
/// # Errors
/// When Applications remain (of the project), or when the hub cannot be read.
pub async fn refuse_with_applications(hub: &Client, project: Option<&str>) -> Result<()> {
    let remaining = applications(hub).await?;
    let of_project =
        remaining.iter().filter(|found| project.is_none_or(|name| found.data["spec"]["project"] == name));
    let names: Vec<&str> = of_project.filter_map(|found| found.metadata.name.as_deref()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let owner = project.map_or("Argo CD".to_owned(), |name| format!("project `{name}`"));
    Err(Error::permanent(format!("{owner} still has Applications: {}", names.join(", ")))
        .with_hint("delete their regions first (`paydeploy down --region R`), or delete the Applications"))
}
