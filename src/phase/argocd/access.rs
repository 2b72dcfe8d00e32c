//! Argo CD's permissions in a region: the kinds of the application (`kinds.rs`) in its namespace, and nothing elsewhere.
//!
//! - A Role in the namespace grants them, in every region alike. Argo CD's chart is installed without cluster roles
//!   (`createClusterRoles: false` in its values), so it has no other access to the hub's cluster either.
//! - On a spoke, an EKS access entry maps Argo CD's IAM role to a Kubernetes group, to which the Role is bound.
//! - On the hub, Argo CD uses its own service accounts, to which the Role is bound.
//!
//! This step checks that all of these objects exist and that the entry is valid for the current role. EKS binds an
//! entry to the role's unique id, so a role that was recreated under the same name does not match an older entry.
//! Whether Argo CD can assume the role and list objects is checked by `argocd/REGION/register`.

use std::{path::PathBuf, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{
    GROUP, NAMESPACE, RELEASE,
    entry::{self, Drift},
    kinds::Kinds,
};
use crate::{
    config::{Config, Region},
    fact,
    kubernetes::{
        self, By, MANAGER, Open, classify,
        namespace::{self, Deletion},
    },
    step::{Check, Class, Context, Error, ErrorExt, Phase, Poll, Result, Seen, Step, StepId},
};

/// With this label, a new pod becomes ready only once it is healthy in its target group. Without it, a rollout deletes
/// the last old pod while the load balancer still checks the new ones.
const READINESS_GATES: &str = "elbv2.k8s.aws/pod-readiness-gate-inject";

/// The components of Argo CD that access the objects of an application: the controller deploys them, the server shows
/// them. The ApplicationSet controller reads the hub's cluster Secrets only.
const COMPONENTS: [&str; 2] = ["application-controller", "server"];

/// Between two reads of the namespace.
const INTERVAL: Duration = Duration::from_secs(3);
/// Pods terminate within their grace period; anything longer is held by a finalizer, which the error names.
const DELETED_DEADLINE: Duration = Duration::from_mins(5);
/// With `--force`.
const FORCED_DEADLINE: Duration = Duration::from_mins(1);

/// The application's namespace, and Argo CD's permissions in it.
pub struct Grant {
    region: Region,
    cluster: String,
    is_hub: bool,
    namespace: String,
    manifests: PathBuf,
    project: String,
}

/// The step that grants Argo CD access to the application's namespace in a region.
pub fn access(config: &Config, region: &Region) -> Grant {
    Grant {
        region: region.clone(),
        cluster: config.name_in(&region.name),
        is_hub: config.hub().name == region.name,
        namespace: config.gitops.namespace.clone(),
        manifests: config.gitops.manifests.clone(),
        project: config.project.clone(),
    }
}

/// The facts that the step takes from other steps.
#[derive(Debug, Clone)]
pub struct GrantInput {
    /// How to reach the region's cluster.
    pub access: fact::Access,
    pub hub_access: fact::Access,
}

/// The objects to apply, and how the access entry differs.
pub struct GrantChange {
    client: Client,
    objects: Vec<Value>,
    entry: Option<Drift>,
}

impl Grant {
    fn objects(&self, kinds: &Kinds) -> Vec<Value> {
        let name = &self.namespace;
        let level = |mode: &str| (format!("pod-security.kubernetes.io/{mode}"), Value::from("restricted"));
        let mut labels: serde_json::Map<_, _> = ["enforce", "audit", "warn"].map(level).into_iter().collect();
        labels.insert(READINESS_GATES.to_owned(), "enabled".into());
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } });
        let api = "rbac.authorization.k8s.io";
        let metadata = json!({ "name": "argocd", "namespace": name });
        let role = json!({
            "apiVersion": format!("{api}/v1"),
            "kind": "Role",
            "metadata": metadata,
            "rules": kinds.rules(),
        });
        let binding = json!({
            "apiVersion": format!("{api}/v1"),
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": { "apiGroup": api, "kind": "Role", "name": "argocd" },
            "subjects": self.subjects(api),
        });
        vec![namespace, role, binding]
    }

    /// Who deploys to the region: the hub's Argo CD through the access entry, or on the hub itself.
    fn subjects(&self, api: &str) -> Value {
        if !self.is_hub {
            return json!([{ "apiGroup": api, "kind": "Group", "name": GROUP }]);
        }
        let account = |component: &str| json!({ "kind": "ServiceAccount", "name": format!("{RELEASE}-{component}"), "namespace": NAMESPACE });
        COMPONENTS.map(account).into()
    }

    /// The IAM role that Argo CD uses; `None` on the hub.
    fn principal<'a>(&self, hub: &'a fact::Access) -> Result<Option<&'a str>> {
        if self.is_hub {
            return Ok(None);
        }
        let role = &hub.cluster.argocd_role_arn;
        if role.is_empty() {
            return Err(Error::permanent("the hub's stack `cluster` has no output `argocd_role_arn`")
                .with_hint("run `paydeploy phase terraform` for the hub"));
        }
        Ok(Some(role))
    }

    async fn compare(
        &self,
        cx: &Context,
        access: &fact::Access,
        hub_access: &fact::Access,
        by: By,
    ) -> Result<(GrantChange, Vec<String>)> {
        let client = kubernetes::connect(&cx.world.aws, access).await?;
        let mut objects = self.objects(&Kinds::read(&self.manifests)?);
        for namespace in objects.iter_mut().filter(|object| object["kind"] == "Namespace") {
            namespace::mark(&client, namespace, &self.project).await?;
        }
        let mut lines = Vec::new();
        for object in &objects {
            lines.extend(kubernetes::difference(&client, MANAGER, object, by).await?);
        }
        let drift = match self.principal(hub_access)? {
            None => None,
            Some(role) => entry::drift(&cx.world.aws, &access.aws_region, &self.cluster, role).await?,
        };
        lines.extend(drift.as_ref().map(ToString::to_string));
        Ok((GrantChange { client, objects, entry: drift }, lines))
    }
}

impl Step for Grant {
    type Input = GrantInput;
    type Fact = fact::Granted;
    type Change = GrantChange;

    fn id(&self) -> StepId {
        StepId::part(Phase::Argocd, &self.region.name, "access")
    }

    async fn read(
        &self,
        cx: &Context,
        GrantInput { access, hub_access }: &Self::Input,
    ) -> Result<Seen<Self::Fact>> {
        let (change, lines) = self.compare(cx, access, hub_access, By::Reading).await?;
        let fact = fact::Granted { namespace: self.namespace.clone() };
        Ok(if lines.is_empty() {
            Seen::ok(fact, format!("namespace {}", self.namespace))
        } else if lines.len() == change.objects.len() + usize::from(!self.is_hub) {
            Seen::missing(format!("no namespace {}", self.namespace))
        } else {
            Seen::differs(fact, lines.join(", "))
        })
    }

    async fn check(
        &self,
        cx: &Context,
        GrantInput { access, hub_access }: &Self::Input,
    ) -> Result<Check<GrantChange>> {
        let (change, lines) = self.compare(cx, access, hub_access, By::DryRun).await?;
        Ok(if lines.is_empty() {
            Check::Clean(format!("namespace {}", self.namespace))
        } else {
            Check::Change { lines, change }
        })
    }

    async fn apply(
        &self,
        cx: &Context,
        GrantInput { access, hub_access }: &Self::Input,
        change: GrantChange,
    ) -> Result<()> {
        for object in &change.objects {
            kubernetes::apply(&change.client, MANAGER, object).await?;
        }
        if let (Some(drift), Some(role)) = (change.entry, self.principal(hub_access)?) {
            let tags = cx.world.config.tags(&self.region);
            entry::apply(&cx.world.aws, &access.aws_region, &self.cluster, role, drift, &tags).await?;
        }
        Ok(())
    }

    async fn destroy(&self, cx: &Context, _: Option<&Self::Input>) -> Result<Option<String>> {
        let mut deleted = Vec::new();
        let cluster = cx.reach(&self.region.aws_region, &self.cluster).await?;
        if let Some(Open { client, .. }) = cluster.open() {
            let name = &self.namespace;
            match namespace::delete_marked(&client, name, &self.project).await? {
                Deletion::Missing => {}
                Deletion::Deleted => {
                    if self.wait_until_deleted(cx, &Api::all(client)).await? {
                        deleted.push(format!("namespace {name}"));
                    }
                }
                Deletion::Kept => cx.warn(
                    format!("namespace `{name}` remains: nothing shows that paydeploy created it"),
                    format!("if everything in it may be deleted, run `kubectl delete namespace {name}`"),
                ),
            }
        }
        if !self.is_hub {
            let removed = entry::remove(&cx.world.aws, &self.region.aws_region, &self.cluster).await?;
            deleted.extend(removed.iter().map(|principal| format!("access entry of {principal}")));
        }
        Ok((!deleted.is_empty()).then(|| format!("{} deleted", deleted.join(", "))))
    }
}

impl Grant {
    /// Kubernetes deletes a namespace after all its objects. The namespace's conditions name what blocks that. Returns
    /// whether it is deleted: with `--force` it may remain, because it is deleted with its cluster.
    async fn wait_until_deleted(&self, cx: &Context, api: &Api<Namespace>) -> Result<bool> {
        let what = format!("the deletion of namespace `{}`", self.namespace);
        let deadline = if cx.world.is_forced() { FORCED_DEADLINE } else { DELETED_DEADLINE };
        let deleted = cx.wait(&what, INTERVAL, deadline, || async {
            let found = api.get_opt(&self.namespace).await.map_err(classify)?;
            let Some(namespace) = found else { return Ok(Poll::Ready(())) };
            Ok(Poll::Pending(blockers(&namespace)))
        });
        match deleted.await {
            Ok(()) => Ok(true),
            Err(error) if cx.world.is_forced() && error.class != Class::Cancelled => {
                cx.warn(error.to_string(), "none needed: the namespace is deleted with its cluster");
                Ok(false)
            }
            Err(error) => Err(error).hint(
                "delete the objects above (`kubectl get apiservices` shows APIs that do not respond), or add `--force` \
                 to leave the namespace to the deletion of its cluster",
            ),
        }
    }
}

/// What blocks the deletion of a namespace, as Kubernetes reports it.
fn blockers(namespace: &Namespace) -> String {
    let conditions = namespace.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let messages: Vec<_> = conditions
        .filter(|condition| condition.status == "True")
        .filter_map(|condition| condition.message.as_deref())
        .collect();
    if messages.is_empty() { "its objects are being deleted".to_owned() } else { messages.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kubernetes::testing::Server, step::testing};

    fn objects(is_hub: bool) -> Vec<Value> {
        let grant = grant(is_hub);
        grant.objects(&Kinds::read(&grant.manifests).unwrap())
    }

    fn grant(is_hub: bool) -> Grant {
        let region = Region {
            name: "mexico".parse().unwrap(),
            aws_region: "us-east-1".to_owned(),
            role: crate::config::Role::Spoke,
            ..testing::region()
        };
        Grant {
            region,
            cluster: "payments-mexico".to_owned(),
            is_hub,
            namespace: "payment-api".to_owned(),
            manifests: concat!(env!("CARGO_MANIFEST_DIR"), "/gitops/argocd").into(),
            project: "payments".to_owned(),
        }
    }

    #[test]
    fn on_a_spoke_the_group_has_rights_in_one_namespace_only() {
        let objects = objects(false);
        let kinds: Vec<_> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["Namespace", "Role", "RoleBinding"]);
        assert_eq!(objects[2]["subjects"][0]["name"], "paydeploy:argocd");
        assert!(objects[1..].iter().all(|object| object["metadata"]["namespace"] == "payment-api"));
    }

    #[test]
    fn on_the_hub_argo_cds_service_accounts_have_the_same_rights_as_on_a_spoke() {
        let (hub, spoke) = (objects(true), objects(false));
        assert_eq!(hub[..2], spoke[..2]);
        let subjects = hub[2]["subjects"].as_array().unwrap();
        let names: Vec<_> = subjects.iter().map(|subject| subject["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["argocd-application-controller", "argocd-server"]);
        assert!(subjects.iter().all(|subject| subject["namespace"] == "argocd"));
    }

    #[test]
    fn the_namespace_admits_restricted_pods_only() {
        let labels = objects(true)[0]["metadata"]["labels"].clone();
        assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
    }

    #[test]
    fn pods_wait_for_their_load_balancer_in_every_region() {
        for objects in [objects(true), objects(false)] {
            let labels = &objects[0]["metadata"]["labels"];
            assert_eq!(labels["elbv2.k8s.aws/pod-readiness-gate-inject"], "enabled");
        }
    }

    #[tokio::test]
    async fn a_status_only_reads() {
        let live = json!({ "metadata": { "name": "payment-api" } });
        let server = Server::with([("/api/v1/namespaces/payment-api", live)]).await;
        let dir = tempfile::tempdir().unwrap();
        let (mut cx, _events) = testing::context(dir.path());
        std::sync::Arc::get_mut(&mut cx.world).unwrap().aws = server.aws();
        let input = GrantInput { access: server.access(), hub_access: server.access() };
        grant(true).read(&cx, &input).await.unwrap();
        let asked = server.asked();
        assert!(!asked.is_empty() && asked.iter().all(|call| call.starts_with("GET ")), "{asked:?}");
    }

    #[test]
    fn what_blocks_the_deletion_of_a_namespace_is_reported_as_kubernetes_words_it() {
        let namespace = json!({ "metadata": {}, "status": { "conditions": [
            { "type": "NamespaceFinalizersRemaining", "status": "True", "message": "a.b in 1 resource" },
            { "type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "all good" },
        ] } });
        assert_eq!(blockers(&serde_json::from_value(namespace).unwrap()), "a.b in 1 resource");
    }
}
