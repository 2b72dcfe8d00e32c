//! Argo CD's kinds on the hub, as the phases `argocd` and `apps` use them.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde_json::Value;

use super::{classify, delete, find, kind, strip_finalizers};
use crate::{
    aws::Aws,
    task::{Class, Error, ErrorExt, Result},
};

/// Where Argo CD runs on the hub, as its own documentation has it.
pub const NAMESPACE: &str = "argocd";

/// How the name of an Application starts with which a run checks that Argo CD reaches a region. It deploys nothing.
pub const PROBE: &str = "paydeploy-probe-";

/// Argo CD's name for the cluster that it runs in.
pub const IN_CLUSTER: &str = "https://kubernetes.default.svc";

/// The label with a region's name on what belongs to it.
const REGION: &str = "paydeploy.io/region";

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

/// Deletes the Applications that would otherwise block the deletion of what they depend on: of Argo CD itself, or with
/// `project` of that project.
///
/// Without Argo CD, an Application's finalizer and all it deployed would remain permanently; without its project
/// it can be neither synced nor deleted. So only these are deleted:
///
/// - probes that a killed run has left: they deploy nothing;
/// - Applications whose cluster no longer exists, and with `force` any other, without their finalizers.
///
/// # Errors
/// When other Applications remain (of the project), or when the hub cannot be read.
pub async fn remove_leftovers(aws: &Aws, hub: &Client, project: Option<&str>, force: bool) -> Result<()> {
    let api: Api<DynamicObject> = Api::namespaced_with(hub.clone(), NAMESPACE, &resource("Application"));
    let mut remaining = Vec::new();
    for application in applications(hub).await? {
        let name = application.metadata.name.as_deref().unwrap_or_default();
        if name.starts_with(PROBE) {
            delete(&api, name).await?;
            continue;
        }
        if project.is_some_and(|project| application.data["spec"]["project"] != project) {
            continue;
        }
        let target = target(hub, &application).await?;
        if !force && !is_gone(aws, target.as_ref()).await? {
            remaining.push(application);
            continue;
        }
        // First its cluster Secret: an ApplicationSet would create the Application again.
        if let Some(target) = target.filter(|target| target.server != IN_CLUSTER) {
            let secrets: Api<Secret> = Api::namespaced(hub.clone(), NAMESPACE);
            delete(&secrets, &target.secret).await?;
        }
        delete(&api, name).await?;
        strip_finalizers(&api, name).await?;
    }
    if remaining.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = remaining.iter().filter_map(|found| found.metadata.name.as_deref()).collect();
    let owner = project.map_or("Argo CD".to_owned(), |name| format!("project `{name}`"));
    let region = |found: &DynamicObject| Some(found.labels().get(REGION)?.clone());
    let regions: Vec<String> = remaining.iter().filter_map(region).collect();
    let command = match regions.first() {
        Some(region) => format!("paydeploy down --region {region}"),
        None => "paydeploy down --region R".to_owned(),
    };
    Err(Error::permanent(format!("{owner} still has Applications: {}", names.join(", "))).with_hint(format!(
        "delete their regions first (`{command}`); if their clusters no longer exist, add `--force`, which deletes the \
         Applications without what they deployed"
    )))
}

/// The cluster that an Application deploys to, as its cluster Secret on the hub describes it.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    secret: String,
    server: String,
    /// Its name in EKS and its AWS region, where the Secret tells.
    cluster: Option<(String, String)>,
}

async fn target(hub: &Client, application: &DynamicObject) -> Result<Option<Target>> {
    let secrets: Api<Secret> = Api::namespaced(hub.clone(), NAMESPACE);
    let clusters = ListParams::default().labels("argocd.argoproj.io/secret-type=cluster");
    let secrets =
        secrets.list(&clusters).await.map_err(classify).doing("list the cluster Secrets on the hub")?;
    let server = application.data["spec"]["destination"]["server"].as_str().unwrap_or_default();
    Ok(secrets.items.iter().filter_map(described).find(|target| target.server == server))
}

fn described(secret: &Secret) -> Option<Target> {
    let text = |key: &str| {
        let bytes = &secret.data.as_ref()?.get(key)?.0;
        Some(std::str::from_utf8(bytes).ok()?.to_owned())
    };
    let server = text("server")?;
    let config: Value = serde_json::from_str(&text("config")?).ok()?;
    let named = config["awsAuthConfig"]["clusterName"].as_str();
    let cluster = named.and_then(|name| Some((name.to_owned(), region_of(&server)?)));
    Some(Target { secret: secret.metadata.name.clone()?, server, cluster })
}

/// The AWS region in an EKS endpoint: `https://ID.NN.REGION.eks.amazonaws.com`.
fn region_of(endpoint: &str) -> Option<String> {
    let host = endpoint.strip_prefix("https://")?;
    let (before, _) = host.split_once(".eks.")?;
    Some(before.rsplit('.').next()?.to_owned())
}

/// Whether AWS says that the cluster does not exist. What is not known is not gone.
async fn is_gone(aws: &Aws, target: Option<&Target>) -> Result<bool> {
    let Some((name, aws_region)) = target.and_then(|target| target.cluster.as_ref()) else {
        return Ok(false);
    };
    match find(aws, aws_region, name).await {
        Ok(found) => Ok(found.is_none()),
        Err(error) if error.class == Class::Transient => Err(error),
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_cluster_of_an_application_is_known_by_its_secret() {
        let secret = |server: &str, config: &str| -> Secret {
            let encoded = |text: &str| {
                use base64::Engine as _;
                base64::prelude::BASE64_STANDARD.encode(text)
            };
            serde_json::from_value(json!({
                "metadata": { "name": "cluster-mexico" },
                "data": { "server": encoded(server), "config": encoded(config) },
            }))
            .unwrap()
        };
        let config = r#"{"awsAuthConfig":{"clusterName":"pay-mexico"}}"#;
        let server = "https://AB12.gr7.us-east-1.eks.amazonaws.com";
        let target = described(&secret(server, config)).unwrap();
        assert_eq!(target.cluster, Some(("pay-mexico".to_owned(), "us-east-1".to_owned())));
        assert_eq!(described(&secret(IN_CLUSTER, "{}")).unwrap().cluster, None);
        assert_eq!(described(&secret("https://10.0.0.1:6443", config)).unwrap().cluster, None);
    }
}
