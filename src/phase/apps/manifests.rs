//! Applies the AppProject and the ApplicationSet to the hub, from the manifests in the work tree.

use kube::{Api, Client, api::DynamicObject};
use serde_json::{Value, json};

use super::NAMESPACE;
use crate::{
    config::{Config, Gitops, Region},
    fact,
    kubernetes::{self, By, MANAGER, Open, argo_cd},
    step::{Check, Context, Error, ErrorExt, Phase, Result, Seen, Step, StepId},
};

/// The order in which kinds are applied. Argo CD refuses an Application whose project is missing.
const ORDER: [&str; 2] = ["AppProject", "ApplicationSet"];

/// The region's name, as an expression of the ApplicationSet's template language.
const REGION: &str = "{{ index .metadata.annotations \"paydeploy.io/region\" }}";

/// The manifests of the application, on the hub.
pub struct Manifests {
    hub: Region,
    /// The hub's EKS cluster.
    cluster: String,
    project: String,
    gitops: Gitops,
}

/// The step that applies `gitops.manifests` to the hub.
pub fn manifests(config: &Config) -> Manifests {
    let hub = config.hub();
    Manifests {
        hub: hub.clone(),
        cluster: config.name_in(&hub.name),
        project: config.project.clone(),
        gitops: config.gitops.clone(),
    }
}

/// The objects to apply.
pub struct ManifestsChange {
    hub: Client,
    objects: Vec<Value>,
}

impl Manifests {
    fn objects(&self) -> Result<Vec<Value>> {
        let doing = || format!("read the manifests in `{}`", self.gitops.manifests.display());
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.gitops.manifests).doing(doing())? {
            files.push(entry.doing(doing())?.path());
        }
        files.retain(|file| file.extension().is_some_and(|suffix| suffix == "yaml" || suffix == "yml"));
        files.sort();
        let mut objects = Vec::new();
        for file in &files {
            let text = std::fs::read_to_string(file).doing(doing())?;
            objects.extend(
                kubernetes::documents(&text).doing(format!("read the manifest `{}`", file.display()))?,
            );
        }
        prepared(objects, &self.project, &self.gitops).doing(doing())
    }

    async fn compare(
        &self,
        cx: &Context,
        access: &fact::Access,
        by: By,
    ) -> Result<(ManifestsChange, Vec<String>)> {
        let hub = kubernetes::connect(&cx.world.aws, access).await?;
        let objects = self.objects()?;
        let mut lines = Vec::new();
        for object in &objects {
            lines.extend(kubernetes::difference(&hub, MANAGER, object, by).await?);
        }
        Ok((ManifestsChange { hub, objects }, lines))
    }
}

/// The objects in the order in which they are applied, with the fields that come from `paydeploy.toml`.
fn prepared(mut objects: Vec<Value>, project: &str, gitops: &Gitops) -> Result<Vec<Value>> {
    let place = |object: &Value| ORDER.iter().position(|kind| object["kind"] == *kind);
    for object in &mut objects {
        let title = kubernetes::title(object);
        if place(object).is_none() {
            return Err(Error::permanent(format!(
                "`{title}` is neither an AppProject nor an ApplicationSet"
            )));
        }
        if object["metadata"]["namespace"] != NAMESPACE {
            return Err(Error::permanent(format!("`{title}` is not in the namespace `{NAMESPACE}`")));
        }
        if object["kind"] == "AppProject" {
            object["spec"]["sourceRepos"] = json!([gitops.repository]);
            object["spec"]["destinations"] = json!([{ "server": "*", "namespace": gitops.namespace }]);
        } else {
            let template = &mut object["spec"]["template"];
            template["metadata"]["name"] = json!(format!("{project}-{REGION}"));
            template["spec"]["source"]["path"] = json!(gitops.chart);
            template["spec"]["destination"]["namespace"] = json!(gitops.namespace);
        }
    }
    objects.sort_by_key(place);
    for kind in ORDER {
        if !objects.iter().any(|object| object["kind"] == kind) {
            return Err(Error::permanent(format!("no {kind} found")));
        }
    }
    Ok(objects)
}

impl Step for Manifests {
    /// How to reach the hub, and the Argo CD that is installed on it.
    type Input = (fact::Access, fact::ArgoCd);
    type Fact = ();
    type Change = ManifestsChange;

    fn id(&self) -> StepId {
        StepId::global(Phase::Apps, "manifests")
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn read(&self, cx: &Context, (access, _): &Self::Input) -> Result<Seen<Self::Fact>> {
        let (change, lines) = self.compare(cx, access, By::Reading).await?;
        Ok(if lines.is_empty() {
            Seen::ok((), "AppProject and ApplicationSet")
        } else if lines.len() == change.objects.len() && lines.iter().all(|line| line.ends_with("is missing"))
        {
            Seen::missing("not applied")
        } else {
            Seen::differs((), lines.join(", "))
        })
    }

    async fn check(&self, cx: &Context, (access, _): &Self::Input) -> Result<Check<ManifestsChange>> {
        let (change, lines) = self.compare(cx, access, By::DryRun).await?;
        Ok(if lines.is_empty() {
            Check::Clean("AppProject and ApplicationSet".to_owned())
        } else {
            Check::Change { lines, change }
        })
    }

    async fn apply(
        &self,
        _: &Context,
        _: &Self::Input,
        ManifestsChange { hub, objects }: ManifestsChange,
    ) -> Result<()> {
        for object in &objects {
            kubernetes::apply(&hub, MANAGER, object).await?;
        }
        Ok(())
    }

    async fn destroy(&self, cx: &Context, _: Option<&Self::Input>) -> Result<Option<String>> {
        let hub = cx.reach(&self.hub.aws_region, &self.cluster).await?;
        let Some(Open { client: hub, .. }) = hub.open() else { return Ok(None) };
        let mut deleted = Vec::new();
        let objects = self.objects()?;
        // Checked before any deletion, because deleting an ApplicationSet deletes its Applications and their pods.
        for project in objects.iter().filter(|object| object["kind"] == "AppProject") {
            let (aws, name) = (&cx.world.aws, project["metadata"]["name"].as_str());
            argo_cd::remove_leftovers(aws, &hub, name, cx.world.is_forced()).await?;
        }
        for object in objects.iter().rev() {
            let kind = object["kind"].as_str().unwrap_or_default();
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let api: Api<DynamicObject> =
                Api::namespaced_with(hub.clone(), NAMESPACE, &argo_cd::resource(kind));
            if kubernetes::delete(&api, name).await? {
                deleted.push(kubernetes::title(object));
            }
        }
        Ok((!deleted.is_empty()).then(|| format!("{} deleted", deleted.join(", "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::testing::Server;

    fn object(kind: &str, namespace: &str) -> Value {
        json!({ "kind": kind, "metadata": { "name": "x", "namespace": namespace }, "spec": { "sourceRepos": [] } })
    }

    fn gitops() -> Gitops {
        Gitops {
            repository: "https://git.example/x.git".to_owned(),
            chart: "deploy/chart".into(),
            manifests: "gitops/argocd".into(),
            namespace: "pay".to_owned(),
            credentials: None,
        }
    }

    #[test]
    fn the_project_is_applied_first_and_allows_the_repository() {
        let objects = vec![object("ApplicationSet", "argocd"), object("AppProject", "argocd")];
        let prepared = prepared(objects, "x", &gitops()).unwrap();
        assert_eq!(prepared[0]["kind"], "AppProject");
        assert_eq!(prepared[0]["spec"]["sourceRepos"], json!(["https://git.example/x.git"]));
        assert_eq!(prepared[1]["spec"]["sourceRepos"], json!([]));
    }

    #[test]
    fn manifests_of_other_kinds_or_namespaces_are_refused() {
        let refused = |objects: Vec<Value>| prepared(objects, "x", &gitops()).unwrap_err().to_string();
        let both = || vec![object("AppProject", "argocd"), object("ApplicationSet", "argocd")];
        assert!(refused([both(), vec![object("Job", "argocd")]].concat()).contains("neither"));
        assert!(refused([both(), vec![object("AppProject", "default")]].concat()).contains("namespace"));
        assert!(refused(vec![object("AppProject", "argocd")]).contains("no ApplicationSet found"));
    }

    fn of_this_repository() -> Vec<Value> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/gitops/argocd");
        let files = std::fs::read_dir(folder).unwrap();
        let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        texts.flat_map(|text| kubernetes::documents(&text).unwrap()).collect()
    }

    /// The hub as an apply of these manifests leaves it, with one change.
    async fn status_of(change: impl FnOnce(&mut Value)) -> (Seen<()>, Vec<String>) {
        let gitops =
            Gitops { manifests: concat!(env!("CARGO_MANIFEST_DIR"), "/gitops/argocd").into(), ..gitops() };
        let step = Manifests {
            hub: crate::step::testing::region(),
            cluster: "payments-spain".to_owned(),
            project: "pay-api".to_owned(),
            gitops,
        };
        let mut live = step.objects().unwrap();
        change(&mut live[0]);
        let paths = ["appprojects", "applicationsets"].map(|kind| {
            let object =
                live.iter().find(|one| kind.starts_with(&one["kind"].as_str().unwrap().to_lowercase()));
            let name = object.unwrap()["metadata"]["name"].as_str().unwrap();
            (format!("/apis/argoproj.io/v1alpha1/namespaces/argocd/{kind}/{name}"), object.unwrap().clone())
        });
        let hub = Server::with(paths.map(|(path, object)| (&*path.leak(), object))).await;
        let dir = tempfile::tempdir().unwrap();
        let (mut cx, _events) = crate::step::testing::context(dir.path());
        std::sync::Arc::get_mut(&mut cx.world).unwrap().aws = hub.aws();
        let argo_cd = fact::ArgoCd { version: String::new(), namespace: NAMESPACE.to_owned() };
        (step.read(&cx, &(hub.access(), argo_cd)).await.unwrap(), hub.asked())
    }

    #[tokio::test]
    async fn a_status_only_reads_and_still_sees_a_change_by_hand() {
        let (seen, _) = status_of(|_| {}).await;
        assert_eq!(seen.state, crate::step::State::Ok, "{}", seen.detail);
        let (seen, asked) = status_of(|live| live["spec"]["sourceRepos"] = json!(["*"])).await;
        assert!(seen.detail.contains("spec.sourceRepos differ"), "{}", seen.detail);
        assert!(asked.iter().all(|call| call.starts_with("GET ")), "{asked:?}");
    }

    #[test]
    fn another_application_is_deployed_by_the_same_manifests() {
        let prepared = prepared(of_this_repository(), "pay-api", &gitops()).unwrap();
        let [project, set] = prepared.as_slice() else { panic!("{prepared:?}") };
        assert_eq!(project["spec"]["destinations"], json!([{ "server": "*", "namespace": "pay" }]));
        let template = &set["spec"]["template"];
        assert_eq!(
            template["metadata"]["name"],
            "pay-api-{{ index .metadata.annotations \"paydeploy.io/region\" }}"
        );
        assert_eq!(template["spec"]["source"]["path"], "deploy/chart");
        assert_eq!(template["spec"]["destination"]["namespace"], "pay");
    }
}
