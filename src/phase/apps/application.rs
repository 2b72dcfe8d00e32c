//! A region's Application on the hub.

use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{NAMESPACE, annotations::Annotations};
use crate::{
    kubernetes::{self, argo_cd::resource, classify},
    step::{ErrorExt, Result},
};

/// A region's Application, whether it exists or not.
#[derive(Clone)]
pub(super) struct Application {
    hub: Client,
    pub name: String,
}

impl Application {
    pub fn new(hub: &Client, name: &str) -> Self {
        Self { hub: hub.clone(), name: name.to_owned() }
    }

    pub fn api(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.hub.clone(), NAMESPACE, &resource("Application"))
    }

    /// The live Application; `None` also when Argo CD itself is not installed.
    pub async fn read(&self) -> Result<Option<Value>> {
        let found = self.api().get_opt(&self.name).await.map_err(classify);
        let found = found.doing(format!("read Application `{}`", self.name))?;
        found.map(|found| Ok(serde_json::to_value(found)?)).transpose()
    }

    /// Starts another sync. Argo CD itself never retries a sync that failed for the same release.
    pub async fn sync_again(&self, release: &Annotations) -> Result<()> {
        let operation = json!({
            "operation": {
                "initiatedBy": { "username": "paydeploy" },
                "info": [{ "name": "Reason", "value": "`paydeploy up` was run again" }],
                "retry": { "limit": 2, "backoff": { "duration": "5s", "factor": 2, "maxDuration": "1m" } },
                "sync": {
                    "revision": release.get("commit"),
                    "prune": true,
                    "syncOptions": ["CreateNamespace=false", "ServerSideApply=true"],
                },
            },
            // Argo CD merges the state of an operation into that of the previous one. Without this reset, the
            // failed hooks and exhausted retries of the previous operation would count for this one.
            "status": { "operationState": null },
        });
        let patched = self.api().patch(&self.name, &PatchParams::default(), &Patch::Merge(operation)).await;
        patched.map_err(classify).doing(format!("start a sync of Application `{}`", self.name))?;
        Ok(())
    }

    /// Ends the running operation.
    pub async fn end_sync(&self) -> Result<()> {
        let patch = Patch::Merge(json!({ "status": { "operationState": { "phase": "Terminating" } } }));
        let patched = self.api().patch(&self.name, &PatchParams::default(), &patch).await;
        patched.map_err(classify).doing(format!("end a sync of Application `{}`", self.name))?;
        Ok(())
    }

    /// Removes the finalizers that make Argo CD delete what it deployed. Called when the region's cluster, and so
    /// everything in it, is already deleted, or when the operator forces it.
    pub async fn forget(&self) -> Result<()> {
        kubernetes::strip_finalizers(&self.api(), &self.name).await
    }
}

/// The reason that the ApplicationSets report for not creating an Application, if any.
pub(super) async fn generation_error(hub: &Client) -> Result<Option<String>> {
    let api: Api<DynamicObject> = Api::namespaced_with(hub.clone(), NAMESPACE, &resource("ApplicationSet"));
    let sets = api.list(&kube::api::ListParams::default()).await.map_err(classify)?;
    if sets.items.is_empty() {
        return Ok(Some("the hub has no ApplicationSet".to_owned()));
    }
    let errors = sets.items.iter().filter_map(|set| {
        let conditions = set.data["status"]["conditions"].as_array()?;
        let error =
            conditions.iter().find(|found| found["type"] == "ErrorOccurred" && found["status"] == "True")?;
        error["message"].as_str().map(str::to_owned)
    });
    Ok(errors.reduce(|all, one| format!("{all}; {one}")))
}
