//! Argo CD's own release on the hub, its own projects, and its credentials for the Git repository.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{NAMESPACE, RELEASE, git, kinds::Kinds, projects};
use crate::{
    config::{self, Config, Region},
    fact,
    kubernetes::{
        self, By, MANAGER, Open, argo_cd,
        helm::{self, Compared, Wanted},
    },
    step::{Check, Claim, Context, Error, Phase, Result, Seen, Step, StepId},
};

/// The add-on's name in `[addons.NAME]`.
const ADDON: &str = "argo-cd";

/// Argo CD's own release.
pub struct Install {
    hub: Region,
    cluster: String,
    addon: Option<config::Addon>,
    gitops: config::Gitops,
    project: String,
}

/// The step that installs Argo CD on the hub.
pub fn install(config: &Config) -> Install {
    let hub = config.hub().clone();
    Install {
        cluster: config.name_in(&hub.name),
        hub,
        addon: config.addons.get(ADDON).cloned(),
        gitops: config.gitops.clone(),
        project: config.project.clone(),
    }
}

/// The wanted release, and how the installed one differs.
pub struct InstallChange {
    client: Client,
    wanted: Wanted,
    compared: Compared,
}

impl Install {
    fn addon(&self) -> Result<&config::Addon> {
        let addon = self.addon.as_ref().ok_or_else(|| {
            Error::permanent(format!("the configuration has no `[addons.{ADDON}]`"))
                .with_hint("add it with `chart`, `version` and `values`, as for the other add-ons")
        })?;
        if addon.namespace != NAMESPACE {
            let namespace = &addon.namespace;
            return Err(Error::permanent(format!("Argo CD cannot run in namespace `{namespace}`"))
                .with_hint(format!(
                    "remove `namespace` from `[addons.{ADDON}]`: it is always `{NAMESPACE}`"
                )));
        }
        Ok(addon)
    }

    async fn compare(&self, cx: &Context, access: &fact::Access) -> Result<InstallChange> {
        let inclusions = Kinds::read(&self.gitops.manifests)?.inclusions()?;
        let wanted = Wanted::new(RELEASE, self.addon()?, values(access, inclusions))?;
        let client = kubernetes::connect(&cx.world.aws, access).await?;
        let compared = helm::compare(&client, &wanted).await?;
        Ok(InstallChange { client, wanted, compared })
    }

    /// The objects beside the release: the projects, and the repository Secret if the repository needs credentials.
    async fn objects(&self, cx: &Context, namespace: &str) -> Result<Vec<Value>> {
        let mut objects = self.projects();
        if let Some(secret) = &self.gitops.credentials {
            let aws = cx.world.aws.in_region(&self.hub.aws_region);
            let credentials = git::credentials(&aws, secret).await?;
            objects.push(git::repository(&self.project, namespace, &self.gitops.repository, &credentials));
        }
        Ok(objects)
    }

    fn projects(&self) -> Vec<Value> {
        projects::all(&self.gitops.repository, &self.gitops.namespace).into()
    }
}

impl Step for Install {
    /// How to reach the hub; the second part only orders the steps.
    type Input = (fact::Access, ());
    type Fact = fact::ArgoCd;
    type Change = InstallChange;

    fn id(&self) -> StepId {
        StepId::part(Phase::Argocd, &self.hub.name, "install")
    }

    fn estimate(&self) -> Duration {
        Duration::from_secs(90)
    }

    async fn read(&self, cx: &Context, (access, ()): &Self::Input) -> Result<Seen<Self::Fact>> {
        let InstallChange { client, wanted, compared } = self.compare(cx, access).await?;
        let Some(stored) = &compared.stored else { return Ok(Seen::missing("not installed")) };
        let version = stored.app_version.clone();
        let fact = fact::ArgoCd { version: version.clone(), namespace: wanted.namespace.clone() };
        let mut lines = compared.lines();
        for project in self.projects() {
            lines.extend(kubernetes::difference(&client, MANAGER, &project, By::Reading).await?);
        }
        Ok(if lines.is_empty() {
            Seen::ok(fact, version)
        } else {
            Seen::differs(fact, format!("{version}: {}", lines.join(", ")))
        })
    }

    async fn check(&self, cx: &Context, (access, ()): &Self::Input) -> Result<Check<InstallChange>> {
        let found = self.compare(cx, access).await?;
        found.compared.refuse_downgrade(&found.wanted, cx.world.allow_downgrade)?;
        let mut lines = found.compared.lines();
        // Read before the first install as well, so that missing credentials fail before it.
        let objects = self.objects(cx, &found.wanted.namespace).await?;
        // Before it, neither the namespace nor Argo CD's kinds exist, and the release's own line is enough.
        if found.compared.stored.is_some() {
            for object in &objects {
                lines.extend(kubernetes::difference(&found.client, MANAGER, object, By::DryRun).await?);
            }
        }
        Ok(if lines.is_empty() {
            Check::Clean(found.compared.stored.map(|stored| stored.app_version).unwrap_or_default())
        } else {
            Check::Change { lines, change: found }
        })
    }

    async fn apply(&self, cx: &Context, (access, ()): &Self::Input, change: InstallChange) -> Result<()> {
        let InstallChange { client, wanted, compared } = change;
        helm::install(cx, cx.world.helm(), &client, access, &wanted, &compared).await?;
        for object in self.objects(cx, &wanted.namespace).await? {
            kubernetes::apply(&client, MANAGER, &object).await?;
        }
        Ok(())
    }

    async fn repair(&self, cx: &Context, input: Option<&Self::Input>, left: &[Claim]) -> Result<()> {
        if left.is_empty() {
            return Ok(());
        }
        let known = input.map(|(access, ())| access);
        // Without a cluster there is no release.
        let hub = cx.open(known, &self.hub.aws_region, &self.cluster).await?;
        let Some(Open { access, client }) = hub else { return Ok(()) };
        helm::repair(cx, cx.world.helm(), &client, &access, (NAMESPACE, RELEASE), left).await
    }

    async fn destroy(&self, cx: &Context, _: Option<&Self::Input>) -> Result<Option<String>> {
        let hub = cx.reach(&self.hub.aws_region, &self.cluster).await?;
        let Some(Open { access, client }) = hub.open() else { return Ok(None) };
        let Some(stored) = helm::latest(&client, NAMESPACE, RELEASE).await? else { return Ok(None) };
        argo_cd::remove_leftovers(&cx.world.aws, &client, None, cx.world.is_forced()).await?;
        helm::uninstall(cx, cx.world.helm(), &access, NAMESPACE, RELEASE).await?;
        let secrets: Api<Secret> = Api::namespaced(client, NAMESPACE);
        kubernetes::delete(&secrets, &git::name(&self.project)).await?;
        Ok(Some(format!("{} deleted", stored.app_version)))
    }
}

/// The values that come from facts. Argo CD signs tokens for the spokes with one IAM role, which the service
/// accounts of three of its components share.
///
/// The chart's cluster roles would make Argo CD an administrator of the hub. It needs no more there than on a spoke,
/// which `argocd/REGION/access` grants, so they are left out whatever the values file says. It watches the kinds that
/// these grants name (`inclusions`), and gives up on a cluster where it may not list a kind that it watches.
fn values(access: &fact::Access, inclusions: Option<String>) -> Value {
    let settings: serde_json::Map<String, Value> =
        inclusions.map(|kinds| ("resource.inclusions".to_owned(), kinds.into())).into_iter().collect();
    let account = json!({ "serviceAccount": { "annotations": {
        "eks.amazonaws.com/role-arn": access.cluster.argocd_role_arn,
    } } });
    json!({
        "createClusterRoles": false,
        "configs": { "cm": settings },
        "global": { "env": [{ "name": "AWS_REGION", "value": access.aws_region }] },
        "controller": account,
        "server": account,
        "applicationSet": account,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argo_cd_is_no_administrator_of_the_hub() {
        let cluster = fact::Cluster {
            cluster_name: "payments-spain".to_owned(),
            cluster_endpoint: String::new(),
            cluster_ca: String::new(),
            external_secrets_role_arn: String::new(),
            external_dns_role_arn: String::new(),
            lb_controller_role_arn: String::new(),
            argocd_role_arn: "arn:aws:iam::123456789012:role/payments-spain-argocd".to_owned(),
        };
        let access = fact::Access { cluster, aws_region: "eu-south-2".to_owned() };
        let values = values(&access, Some("- kinds: [Pod]".to_owned()));
        assert_eq!(values["createClusterRoles"], false);
        assert_eq!(values["configs"]["cm"]["resource.inclusions"], "- kinds: [Pod]");
    }
}
